// The command line, with memcached's own option names.
import { isIP } from 'node:net';
import { parseArgs } from 'node:util';

export interface Options {
  tcpPort: number;
  udpPort: number;
  addresses: string[];
  /** Serves this socket file instead of the network. */
  unixSocket: string | undefined;
  unixMode: number;
  workers: number | 'cpu';
  megabytes: number;
  itemSize: number;
  evict: boolean;
  verbose: number;
}

export const usage = `A memcached-style server on RSS-aware workers.

  -p, --port=NUM             TCP port (default 11211, 0 is off)
  -U, --udp-port=NUM         UDP port (default 0, off)
  -l, --listen=ADDR          address to listen on, may be repeated or a list
                             with commas (default 127.0.0.1)
  -s, --unix-socket=FILE     Unix socket to listen on, instead of the network
  -a, --unix-mask=MODE       its permissions in octal (default 0700)
  -t, --threads=NUM          workers (default one per CPU)
  -m, --memory-limit=NUM     item memory in megabytes (default 64)
  -I, --max-item-size=SIZE   largest item, with k or m (default 1m,
                             or a quarter of -m)
  -M, --disable-evictions    refuse new items when the memory is full
  -v, --verbose              say more, may be repeated
  -V, --version              print the version
  -h, --help                 print this help
`;

/** A command line that cannot be run; the message is for the person who typed it. */
export class UsageError extends Error {}

function number(name: string, text: string, min: number, max: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max))
    throw new UsageError(`${name} must be a number from ${min} to ${max}, not "${text}"`);
  return value;
}

function size(text: string): number {
  const match = /^(\d+)([km]?)$/i.exec(text);
  const unit = { '': 1, k: 1024, m: 1024 * 1024 }[(match?.[2] ?? '').toLowerCase()] ?? 1;
  const bytes = match === null ? Number.NaN : Number(match[1]) * unit;
  if (!(bytes >= 1024 && bytes <= 128 * 2 ** 20))
    throw new UsageError(`-I must be a size from 1k to 128m, not "${text}"`);
  return bytes;
}

function mode(text: string): number {
  if (!/^0?[0-7]{1,3}$/.test(text))
    throw new UsageError(`-a must be permissions in octal, not "${text}"`);
  return Number.parseInt(text, 8);
}

/** Options, or the text to print instead of serving. Throws UsageError. */
export function parseOptions(args: string[], version: string): Options | string {
  let values;
  try {
    ({ values } = parseArgs({
      args,
      options: {
        port: { type: 'string', short: 'p', default: '11211' },
        'udp-port': { type: 'string', short: 'U', default: '0' },
        listen: { type: 'string', short: 'l', multiple: true, default: ['127.0.0.1'] },
        'unix-socket': { type: 'string', short: 's' },
        'unix-mask': { type: 'string', short: 'a', default: '700' },
        threads: { type: 'string', short: 't' },
        'memory-limit': { type: 'string', short: 'm', default: '64' },
        'max-item-size': { type: 'string', short: 'I' },
        'disable-evictions': { type: 'boolean', short: 'M', default: false },
        verbose: { type: 'boolean', short: 'v', multiple: true, default: [] },
        version: { type: 'boolean', short: 'V', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }));
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  if (values.help) return usage;
  if (values.version) return `freebsd-rss memcached ${version}\n`;
  const megabytes = number('-m', values['memory-limit'], 1, 65536);
  const mostItem = (megabytes * 2 ** 20) / 4;
  const itemSize = values['max-item-size'];
  const unixSocket = values['unix-socket'];
  const options: Options = {
    tcpPort: unixSocket === undefined ? number('-p', values.port, 0, 65535) : 0,
    udpPort: unixSocket === undefined ? number('-U', values['udp-port'], 0, 65535) : 0,
    unixSocket,
    unixMode: mode(values['unix-mask']),
    addresses: values.listen.flatMap((list) => list.split(',')),
    workers: values.threads === undefined ? 'cpu' : number('-t', values.threads, 1, 128),
    megabytes,
    itemSize: itemSize === undefined ? Math.min(2 ** 20, mostItem) : size(itemSize),
    evict: !values['disable-evictions'],
    verbose: values.verbose.length,
  };
  if (options.tcpPort === 0 && options.udpPort === 0 && unixSocket === undefined)
    throw new UsageError('-p and -U are both 0: nothing to serve');
  for (const address of options.addresses)
    if (isIP(address) === 0) throw new UsageError(`-l must be an IP address, not "${address}"`);
  if (options.itemSize > mostItem) throw new UsageError('-I must be at most a quarter of -m');
  return options;
}
