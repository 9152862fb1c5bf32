// freebsd-rss flows: prints sources whose flows to a server cover every bucket evenly.
import { isIP } from 'node:net';
import { type NetworkInterfaceInfo, release } from 'node:os';

import { toeplitz, type RssConfig } from 'freebsd-rss';

import { bucketOfHash } from '../lib/rss/card/map.js';
import { addressBytes } from '../lib/rss/tuple.js';
import { plainHost } from '../lib/socket/host.js';
import { hashesByItself } from './cards.js';
import {
  columns,
  type Command,
  addressAndPort,
  number,
  parse,
  printJson,
  UsageError,
} from './command.js';
import { type Card, cards } from './facts.js';
import { interfaceAddresses } from './interfaces.js';
import { configurationOf } from './server-config.js';

const usage = `Source addresses and ports whose flows cover every bucket of a server.

  freebsd-rss flows --server ADDR[:PORT] --from CIDR [options]

  --server ADDR[:PORT]   where the flows go; without a port, addresses alone
                         are hashed (2-tuple), as FreeBSD does for UDP
  --from CIDR            where they may come from: 10.1.0.0/16, 2001:db8::/64
  --per-bucket N         flows for each bucket (default 1)
  --ports FIRST-LAST     source ports (default 10000-65535)
  --key HEX              the server's key, 40 bytes (default: this host's)
  --admin SOCKET|PID     a server here, for the card's key that it has learnt
  --buckets N            the server's number of buckets
  --json                 for programs

Example:
  freebsd-rss flows --server 10.0.0.2:80 --from 10.1.0.0/24 --per-bucket 2
`;

export interface SourceFlow {
  bucket: number;
  cpu: number;
  address: string;
  port: number | undefined;
}

function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const words = Array.from({ length: 8 }, (_, i) =>
    ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16),
  );
  return new URL(`http://[${words.join(':')}]`).hostname.slice(1, -1);
}

/** The Toeplitz hash is linear: a tuple's hash is the exclusive or of its bytes' hashes. */
class LinearHash {
  readonly #tables: Uint32Array[];

  constructor(key: Uint8Array, length: number) {
    this.#tables = Array.from({ length }, (_, at) =>
      Uint32Array.from({ length: 256 }, (_, value) => {
        const bytes = new Uint8Array(length);
        bytes[at] = value;
        return toeplitz(key, bytes);
      }),
    );
  }

  of(bytes: Uint8Array, at: number): number {
    let hash = 0;
    for (let i = 0; i < bytes.length; i++) hash ^= this.#tables[at + i]![bytes[i]!]!;
    return hash;
  }
}

/** The addresses of a network without the first, and in IPv4 without the last. */
function network(cidr: string): { count: number; address(n: number): Uint8Array } {
  const [text = '', prefix = '', ...more] = cidr.split('/');
  if (isIP(text) === 0 || text.includes('%') || more.length > 0)
    throw new UsageError(`--from must be a network, not "${cidr}"`);
  const bytes = addressBytes(text);
  const bits = bytes.length * 8;
  const length = number('the length of a prefix', prefix === '' ? `${bits}` : prefix, 0, bits);
  const hosts = bits - length;
  const first = hosts > 1 ? 1 : 0;
  const base = bytes.map((byte, i) => byte & (0xff00 >> Math.min(Math.max(length - i * 8, 0), 8)));
  return {
    count: 2 ** Math.min(hosts, 32) - (bytes.length === 4 ? 2 * first : first),
    address(n) {
      const one = base.slice();
      for (let i = 1, left = n + first; i <= 4; i++, left = Math.floor(left / 256))
        one[one.length - i]! |= left % 256;
      return one;
    },
  };
}

/** Gives the bucket of a hash that a flow to this address has. */
function bucketsBehind(server: string, config: RssConfig): (hash: number) => number {
  const { source, card, buckets } = config;
  if (source !== 'card' || card === undefined) return (hash) => (hash >>> 0) % buckets;
  const { address } = plainHost(server);
  return (hash) => bucketOfHash(card, hash >>> 0, address);
}

export interface FlowsRequest {
  server: string;
  /** Undefined: only addresses are hashed. */
  serverPort: number | undefined;
  from: string;
  perBucket: number;
  firstPort: number;
  lastPort: number;
  config: RssConfig;
}

/** `perBucket` flows for each bucket, in the order of buckets. Throws when there are too few. */
export function findFlows(request: FlowsRequest): SourceFlow[] {
  const { serverPort, perBucket, firstPort, lastPort, config } = request;
  if (config.hashAlgorithm !== 'toeplitz')
    throw new UsageError(`flows are found by Toeplitz hashes, not by ${config.hashAlgorithm} ones`);
  const server = addressBytes(request.server);
  const size = server.length;
  const withPorts = serverPort !== undefined;
  const hash = new LinearHash(config.hashKey, withPorts ? 2 * size + 4 : 2 * size);
  const word = (port: number) => Uint8Array.of(port >> 8, port & 255);
  const fixed = hash.of(server, size) ^ (withPorts ? hash.of(word(serverPort), 2 * size + 2) : 0);
  const found: SourceFlow[][] = Array.from({ length: config.buckets }, () => []);
  const bucket = bucketsBehind(request.server, config);
  // Several cards have buckets of their own each.
  const reachable = new Set(found.map((_, hash) => bucket(hash)));
  let missing = reachable.size * perBucket;
  const add = (bucket: number, bytes: Uint8Array, port: number | undefined): boolean => {
    const flows = found[bucket]!;
    if (flows.length === perBucket) return false;
    flows.push({ bucket, cpu: config.bucketMap[bucket]!, address: addressText(bytes), port });
    missing--;
    return true;
  };
  const { count, address } = network(request.from);
  // Takes few flows of each address, to use many addresses.
  const most = Math.max(reachable.size, Math.ceil(missing / count));
  for (let n = 0; n < count; n++) {
    const bytes = address(n);
    if (bytes.length !== size) throw new UsageError('--server and --from are of two families');
    const own = fixed ^ hash.of(bytes, 0);
    if (!withPorts) add(bucket(own), bytes, undefined);
    for (let port = firstPort, taken = 0; withPorts && port <= lastPort && taken < most; port++)
      if (add(bucket(own ^ hash.of(word(port), 2 * size)), bytes, port)) taken++;
    if (missing === 0) return found.flat();
  }
  throw new UsageError(`${request.from} has too few addresses: ${missing} flows are missing`);
}

/** Why the flows may fall into other buckets, if the server's address is one of this host's. */
export function keyWarning(
  server: string,
  interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>,
  cards: readonly Card[],
  major: number,
): string | undefined {
  const card = cards.find(
    ({ name, driver, description }) =>
      interfaces[name]?.some(({ address }) => address === server) === true &&
      hashesByItself(driver, description, major),
  );
  return card && `${card.name} hashes by a key of its own, so its flows fall into other buckets`;
}

async function run(args: string[]): Promise<number> {
  const { values } = parse({
    args,
    options: {
      server: { type: 'string' },
      from: { type: 'string' },
      'per-bucket': { type: 'string', default: '1' },
      ports: { type: 'string', default: '10000-65535' },
      key: { type: 'string' },
      admin: { type: 'string' },
      buckets: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  });
  if (values.server === undefined || values.from === undefined)
    throw new UsageError('flows needs --server and --from');
  const server = addressAndPort(values.server);
  if (server.address.includes('%')) throw new UsageError('--server takes no zone');
  const [first = '', last = '', ...more] = values.ports.split('-');
  if (more.length > 0) throw new UsageError(`--ports must be FIRST-LAST, not "${values.ports}"`);
  const firstPort = number('the first of --ports', first, 1, 65535);
  const config = await configurationOf(values, server.address);
  const flows = findFlows({
    server: server.address,
    serverPort: server.port,
    from: values.from,
    perBucket: number('--per-bucket', values['per-bucket'], 1, 65535),
    firstPort,
    lastPort: number('the last of --ports', last, firstPort, 65535),
    config,
  });
  if (values.key === undefined && config.source === 'kernel') {
    const major = Number.parseInt(release(), 10);
    const warning = keyWarning(server.address, interfaceAddresses(), cards(), major);
    if (warning !== undefined) console.error(`freebsd-rss flows: warning: ${warning}`);
  }
  if (config.source === 'card' && config.card !== undefined && !config.hashKeyReadable) {
    const names = config.card.interfaces.join(', ');
    console.error(
      `freebsd-rss flows: warning: the key of ${names} is not known, so flows fall into other ` +
        'buckets; --admin asks a server for it, freebsd-rss learn computes it',
    );
  }
  if (values.json) printJson(flows);
  else
    process.stdout.write(
      columns([
        ['bucket', 'CPU', 'source'],
        ...flows.map(({ bucket, cpu, address, port }) => [
          `${bucket}`,
          `${cpu}`,
          port === undefined
            ? address
            : address.includes(':')
              ? `[${address}]:${port}`
              : `${address}:${port}`,
        ]),
      ]),
    );
  return 0;
}

export const flows: Command = { usage, run };
