// freebsd-rss conns: lists the connections of a running server.
import { BlockList, isIP } from 'node:net';

import type { ConnectionInfo } from '../lib/server/connections.js';
import { connectionPage, findAdminSocket, snapshot } from './admin-socket.js';
import {
  age,
  bytes,
  columns,
  type Command,
  number,
  parse,
  printJson,
  UsageError,
} from './command.js';

const usage = `Connections of a running server: who is connected, and which CPU serves it.

  freebsd-rss conns [options] SOCKET|PID

  --peer ADDR[/BITS]   of peers with this address, or in this network
  --bucket N           of this bucket
  --worker N           of this worker
  --misplaced          whose packets come to another CPU than the worker's
  --limit N            end after N connections (default 1000)
  --json               for programs

SOCKET is the path that the server was given as \`admin\`; of a process it is
looked for. CPU is the one that serves the connection, and packets the one that
processed its last packets. Bytes are payload received, and payload sent and,
on Linux, acknowledged. A dash stands for what the system does not say.

Example:
  freebsd-rss conns --misplaced /var/run/my-server.sock
`;

/** Which connections to list. */
export interface Filter {
  peer?: BlockList;
  bucket?: number;
  misplaced: boolean;
}

export const isMisplaced = ({ cpu, packetCpu }: ConnectionInfo) =>
  packetCpu !== null && packetCpu !== cpu;

const family = (address: string) => (isIP(address) === 6 ? 'ipv6' : 'ipv4');
/** An IPv4 peer of a dual-stack listener. */
const plain = (address: string) => address.replace(/^::ffff:(?=\d+\.)/, '');

export function matches(connection: ConnectionInfo, { peer, bucket, misplaced }: Filter): boolean {
  if (bucket !== undefined && connection.bucket !== bucket) return false;
  if (misplaced && !isMisplaced(connection)) return false;
  if (peer === undefined) return true;
  if (connection.peer === null) return false;
  const address = plain(connection.peer.address);
  return peer.check(address, family(address));
}

/** "10.0.0.0/8", "2001:db8::1" */
export function network(text: string): BlockList {
  const [address = '', bits, ...more] = text.split('/');
  const version = isIP(address);
  if (version === 0 || address.includes('%') || more.length > 0)
    throw new UsageError(`--peer must be an address or a network, not "${text}"`);
  const all = version === 6 ? 128 : 32;
  const length = bits === undefined ? all : number('the length of a prefix', bits, 0, all);
  const list = new BlockList();
  list.addSubnet(address, length, family(address));
  return list;
}

export function rows(connections: readonly ConnectionInfo[]): string[][] {
  return [
    ['peer', 'bucket', 'flow id', 'type', 'wrk', 'CPU', 'packets', 'in', 'out', 'age'],
    ...connections.map((one) => {
      const { peer, bucket, flowId, hashType, workerIndex, cpu, packetCpu } = one;
      const host = peer === null ? '' : plain(peer.address);
      return [
        peer === null ? 'unix' : `${host.includes(':') ? `[${host}]` : host}:${peer.port}`,
        `${bucket}`,
        flowId === null ? '-' : flowId.toString(16).padStart(8, '0'),
        hashType ?? '-',
        `${workerIndex}`,
        `${cpu}`,
        packetCpu === null ? '-' : `${packetCpu}${isMisplaced(one) ? '!' : ''}`,
        bytes(one.bytesIn),
        bytes(one.bytesOut),
        `${age(one.ageMs)}${one.accepted ? '' : ', outgoing'}`,
      ];
    }),
  ];
}

/** The connections of these workers, page by page. */
async function* connectionsOf(path: string, workers: readonly number[]) {
  for (const worker of workers)
    for (let after: number | null = 0; after !== null;) {
      const page = await connectionPage(path, worker, after);
      if (page === undefined) console.error(`freebsd-rss conns: worker ${worker} does not answer`);
      yield* page?.connections ?? [];
      after = page?.next ?? null;
    }
}

async function run(args: string[]): Promise<number> {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: {
      peer: { type: 'string' },
      bucket: { type: 'string' },
      worker: { type: 'string' },
      misplaced: { type: 'boolean', default: false },
      limit: { type: 'string', default: '1000' },
      json: { type: 'boolean', default: false },
    },
  });
  const [where] = positionals;
  if (where === undefined || positionals.length > 1)
    throw new UsageError(
      'conns takes the path of an admin socket or the id of a process: ' +
        'freebsd-rss conns SOCKET|PID',
    );
  const limit = number('--limit', values.limit, 1, 2 ** 31);
  const filter: Filter = {
    ...(values.peer === undefined ? {} : { peer: network(values.peer) }),
    ...(values.bucket === undefined
      ? {}
      : { bucket: number('--bucket', values.bucket, 0, 65_535) }),
    misplaced: values.misplaced,
  };
  const path = await findAdminSocket(where);
  const all = (await snapshot(path)).workers.map(({ workerIndex }) => workerIndex);
  const workers =
    values.worker === undefined ? all : [number('--worker', values.worker, 0, all.length - 1)];
  const found: ConnectionInfo[] = [];
  let more = false;
  for await (const connection of connectionsOf(path, workers)) {
    if (!matches(connection, filter)) continue;
    more = found.length === limit;
    if (more) break;
    found.push(connection);
  }
  if (values.json) printJson(found);
  else process.stdout.write(columns(rows(found)));
  if (more) console.error(`freebsd-rss conns: there are more; --limit ${limit} has been reached`);
  return 0;
}

export const conns: Command = { usage, run };
