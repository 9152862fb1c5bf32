// Writes docs/options.md from the tables of options and the doc comments of their interfaces. With
// --check it fails if the file differs instead.
import { readFileSync } from 'node:fs';

import ts from 'typescript';

import { virtualTable } from '../dist/lib/rss/config.js';
import { tcpTable, udpTable, unixTable } from '../dist/lib/server/endpoint-options.js';
import { closeTable, limitsTable, listenTable, serverTable } from '../dist/lib/server/options.js';
import { streamTable } from '../dist/lib/server/stream-options.js';
import { tlsTable } from '../dist/lib/server/tls-options.js';
import { upgradeTable } from '../dist/lib/server/upgrade.js';
import {
  allocatorTable,
  fileTable,
  openTable,
  segmentTable,
  sendTable,
} from '../dist/lib/shm/options.js';
import { listenerTable } from '../dist/lib/socket/listener-options.js';
import { socketTable } from '../dist/lib/worker/accepted-socket.js';
import { peerTable } from '../dist/lib/worker/connect.js';
import { spliceTable } from '../dist/lib/worker/splices.js';
import { writeGenerated } from './generated.mjs';

const file = 'docs/options.md';
const sources = [
  'lib/rss/config.ts',
  'lib/server/endpoint-options.ts',
  'lib/server/options.ts',
  'lib/server/stream-options.ts',
  'lib/server/tls-options.ts',
  'lib/server/upgrade.ts',
  'lib/shm/options.ts',
  'lib/socket/listener-options.ts',
  'lib/worker/accepted-socket.ts',
  'lib/worker/connect.ts',
  'lib/worker/splices.ts',
];

const ownUdp = Object.fromEntries(Object.entries(udpTable).filter(([name]) => !(name in tcpTable)));

/** Title, table, and the interfaces that document its options: the first that has one counts. */
const sections = [
  ['createServer()', serverTable, ['ServerOptions', 'VirtualOptions']],
  ['createServer(): `tcp`', tcpTable, ['TcpOptions', 'EndpointOptions', 'BindOptions']],
  ['createServer(): `tls` of `tcp`', tlsTable, ['TlsOptions']],
  [
    'createServer(): `udp`, besides the options of `tcp` up to `sendBuffer`',
    ownUdp,
    ['UdpOptions'],
  ],
  ['createServer(): `unix`', unixTable, ['UnixOptions']],
  ['createServer(): `stream`', streamTable, ['StreamOptions']],
  ['createServer(): `resourceLimits`', limitsTable, ['ResourceLimits']],
  ['server.listen()', listenTable, ['ListenOptions']],
  ['server.close()', closeTable, ['CloseOptions']],
  ['server.upgrade()', upgradeTable, ['UpgradeOptions']],
  ['defineWorker(): `sockets`', socketTable, ['SocketOptions']],
  ['rssConfig()', virtualTable, ['VirtualOptions']],
  ['openListener()', listenerTable, ['ListenerOptions', 'BindOptions']],
  ['streams.connect() and datagrams.connect()', peerTable, ['PeerOptions']],
  ['streams.splice()', spliceTable, ['SpliceOptions']],
  ['ShmSegment.create()', segmentTable, ['SegmentOptions']],
  ['ShmSegment.open()', openTable, ['SegmentOptions']],
  ['sendSegment()', sendTable, ['SendOptions', 'FileOptions']],
  ['addFile()', fileTable, ['FileOptions']],
  ['SegmentAllocator()', allocatorTable, ['AllocatorOptions']],
];

/** Doc comments by interface and property: `text`, and the value of @defaultValue. */
function docComments() {
  const comments = {};
  for (const name of sources) {
    const source = ts.createSourceFile(
      name,
      readFileSync(name, 'utf8'),
      ts.ScriptTarget.Latest,
      true,
    );
    for (const node of source.statements.filter(ts.isInterfaceDeclaration)) {
      const members = (comments[node.name.text] = {});
      for (const member of node.members) {
        const [doc] = ts.getJSDocCommentsAndTags(member).filter(ts.isJSDoc);
        const tag = doc?.tags?.find(({ tagName }) => tagName.text === 'defaultValue');
        members[member.name.text] = {
          text: ts.getTextOfJSDocComment(doc?.comment)?.replaceAll(/\s+/g, ' '),
          defaultValue: tag && ts.getTextOfJSDocComment(tag.comment)?.trim(),
        };
      }
    }
  }
  return comments;
}

const grouped = (text) =>
  text.replaceAll(/\d{4,}/g, (digits) => Number(digits).toLocaleString('en'));

function entry(section, name, { facts }, doc) {
  const { type, range, unit, system, required } = facts;
  if (doc?.text === undefined) throw new Error(`${section}: ${name} has no doc comment`);
  const ofTable = facts.default ?? facts.otherwise;
  // A default in words may be in the doc comment itself.
  if (doc.defaultValue !== ofTable && !(facts.otherwise && doc.defaultValue === undefined))
    throw new Error(`${section}: @defaultValue of ${name} must be ${ofTable}`);
  const of = range === undefined ? type : `${type}, ${grouped(range)}`;
  const about = [
    unit === undefined ? of : `${of} ${unit}`,
    ...(required ? ['required'] : []),
    ...(ofTable === undefined ? [] : [`default ${grouped(ofTable)}`]),
    ...(system === undefined ? [] : [system]),
  ];
  return `- **\`${name}\`** (${about.join('; ')}). ${doc.text}`;
}

const comments = docComments();
const text = [
  '# Options',
  'Made by `scripts/options-doc.mjs` from the tables that check the options. An unknown option, ' +
    'a value of another type or one out of range is a TypeError or RangeError that names ' +
    'the option.',
  ...sections.flatMap(([title, table, interfaces]) => [
    `## ${title}`,
    Object.entries(table)
      .map(([name, option]) => {
        const documented = interfaces.find((one) => name in comments[one]);
        return entry(title, name, option, comments[documented]?.[name]);
      })
      .join('\n'),
  ]),
].join('\n\n');

await writeGenerated(file, 'node scripts/options-doc.mjs', text);
