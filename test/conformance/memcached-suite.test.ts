// memcached's own test suite against the example, over TCP and through its Unix socket. What is
// left out stands here with its reason.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { usage } from '../../examples/memcached/options.js';
import { debianSource } from '../helpers/debian.js';
import { skipWithout } from '../helpers/features.js';
import { long } from '../helpers/repeat.js';

const files = `
  00-startup ascii-auth binary binary-get binary-sasl bogus-commands cas chunked-items dash-M
  dyn-maxbytes evictions expirations flags
  flush-all getandtouch getset idle-timeout incrdecr issue_3 issue_14 issue_22 issue_29 issue_41
  issue_42
  issue_61 issue_67 issue_68 issue_70 issue_104 issue_108 issue_152 issue_163 issue_183 issue_192
  item_size_max line-lengths malicious-commands maxconns metaget multiversioning noreply quit
  shutdown
  stats stats-conns stats-detail strtol-testing touch udp unixsocket
`
  .trim()
  .split(/\s+/);

const classes = 'asks for memcached’s number of a slab class';
const freed = 'flush_all frees all items at once: none is left to be found or reclaimed';
const swept = 'the search for expired items may have found it before the client did';
const internals = 'of memcached’s LRU lists and slab threads';

/** Sub-tests that may fail, by file and number. */
const leftOut: Record<string, Record<number, string>> = {
  '00-startup': { 5: 'CAS numbers cost nothing here: -C does not exist' },
  'dyn-maxbytes': { 41: classes },
  'flush-all': { 27: 'wants -C to lose what is stored after flush_all in the same second' },
  issue_14: { 21: 'pages of expired items are given back: the memory in use may shrink' },
  issue_22: { 43: classes, 84: classes },
  issue_163: { 4: classes },
  issue_183: { 5: freed },
  stats: {
    1: internals,
    17: freed,
    20: internals,
    91: freed,
    103: internals,
    106: swept,
    111: freed,
  },
  'strtol-testing': { 2: internals },
};

/** Lines that are changed, where what follows them would not run. */
const changed: Record<string, { from: string; to: string; tests: number; reason: string }[]> = {
  issue_67: [
    {
      from: "when('tcp port disabled', '-p 0', -1, -1);",
      to: '',
      tests: 2,
      reason: 'a server that serves nothing does not start',
    },
    { from: 'for (1..20)', to: 'for (1..200)', tests: 0, reason: 'Node starts slower than C' },
  ],
  expirations: [
    {
      from: '$expire = time() + 4;',
      to: '$expire = time() + 64;',
      tests: 0,
      reason: 'the server’s time was moved by three seconds: less than one is left for a get',
    },
    {
      from: 'mem_move_time($sock, 4);',
      to: 'mem_move_time($sock, 64);',
      tests: 0,
      reason: 'as above',
    },
  ],
  'stats-conns': [
    { from: 'sleep(1);', to: 'sleep(3);', tests: 0, reason: 'a set may be late on a busy machine' },
  ],
  binary: [
    ...['toast', 'toast2', 'toast3'].map((value) => ({
      from: `"${value}", 0, 1)`,
      to: `"${value}", 0, 3)`,
      tests: 0,
      reason: 'an item that expires in one second may have gone before it is touched',
    })),
    ...['sleep 2;', 'sleep 2;'].map((from) => ({
      from,
      to: 'sleep 4;',
      tests: 0,
      reason: 'as above',
    })),
  ],
  'binary-sasl': [
    ...['die "no saslpasswd2', 'system("echo testpass'].map((from) => ({
      from,
      to: `0 and ${from}`,
      tests: 0,
      reason: 'users and passwords are those of -Y',
    })),
    { from: 'CRAM-MD5 PLAIN', to: 'PLAIN', tests: 0, reason: 'there is no other mechanism' },
    {
      from: '$sock = $s->sock',
      to: '$sock = $s->new_sock',
      tests: 0,
      reason: 'it takes a connection that has ended for one that is open: memcached resets it',
    },
  ],
};

/**
 * Its library draws ports at random, among those that the kernel gives to clients: files get their
 * own.
 */
const library = {
  from: 'int(rand(20000)) + 30000',
  to: '$ENV{FIRST_PORT} + $MemcachedTest::port++ % 64',
};

const modes = [
  {
    name: 'over TCP, 4 workers',
    files: files.filter((file) => file !== 'unixsocket'),
    help: usage.replaceAll('unix-socket', ''),
  },
  {
    name: 'through the Unix socket',
    // The server takes commands from both kinds of socket alike.
    files: long ? files : ['getset', 'maxconns', 'noreply', 'quit', 'shutdown', 'unixsocket'],
    help: usage,
  },
];

const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** The suite with the example in memcached's place. */
function prepare(help: string): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'memcached-suite-'));
  folders.push(folder);
  const source = debianSource('memcached')!;
  for (const part of ['t', 'doc'])
    cpSync(path.join(source, part), path.join(folder, part), { recursive: true });
  const edit = (file: string, edits: { from: string; to: string }[]) => {
    const script = path.join(folder, 't', file);
    let text = readFileSync(script, 'utf8');
    for (const { from, to } of edits) {
      assert.ok(text.includes(from), `${file} has changed`);
      text = text.replace(from, () => to);
    }
    writeFileSync(script, text);
  };
  for (const [file, edits] of Object.entries(changed)) edit(`${file}.t`, edits);
  edit('lib/MemcachedTest.pm', [library]);
  // By the words of the help text the suite decides what it tries.
  writeFileSync(path.join(folder, 'help'), help);
  writeFileSync(path.join(folder, 'users'), 'testuser@memcached.realm:testpass\n');
  const shim = fileURLToPath(new URL('./shim.js', import.meta.url));
  const commands = {
    'memcached-debug':
      `[ "$1" = -h ] && exec cat '${folder}/help'\n` +
      `exec '${process.execPath}' '${shim}' "$@" > /dev/null`,
    timedrun: 'shift\nexec "$@"',
  };
  for (const [name, body] of Object.entries(commands)) {
    writeFileSync(path.join(folder, name), `#!/bin/sh\n${body}\n`);
    chmodSync(path.join(folder, name), 0o755);
  }
  return folder;
}

async function run(folder: string, file: string): Promise<string> {
  // maxconns opens more descriptors than many systems allow at first.
  const command = 'ulimit -n 4096 2> /dev/null; exec perl "$0"';
  const FIRST_PORT = `${12_000 + 64 * files.indexOf(file)}`;
  const env = { ...process.env, FIRST_PORT, RUN_SASL_TESTS: '1' };
  const child = spawn('sh', ['-c', command, `t/${file}.t`], { cwd: folder, env });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('latin1')));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString('latin1')));
  await once(child, 'close');
  return output;
}

/** Every sub-test that was planned has run, and what failed is left out. */
function check(file: string, output: string): void {
  const numbers = (pattern: RegExp) => [...output.matchAll(pattern)].map(([, n]) => Number(n));
  const passed = numbers(/^ok (\d+)/gm);
  const failed = numbers(/^not ok (\d+)/gm);
  const planned = numbers(/^1\.\.(\d+)/gm)[0] ?? 0;
  const ran =
    passed.length +
    failed.length +
    (changed[file] ?? []).reduce((sum, { tests }) => sum + tests, 0);
  const allowed = leftOut[file] ?? {};
  const unexpected = failed.filter((n) => !(n in allowed));
  assert.ok(planned > 0 && ran === planned && unexpected.length === 0, output.slice(-4000));
}

const skip = skipWithout('memcached-source') || skipWithout('perl');
for (const { name, files: own, help } of modes)
  describe(`memcached’s tests ${name}`, { skip, concurrency: 4 }, () => {
    const folder = skip === false ? prepare(help) : '';
    for (const file of own) it(file, async () => check(file, await run(folder, file)));
  });
