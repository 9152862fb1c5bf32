// The command line, with memcached's own option names.
import { parseArgs } from 'node:util';

import { mostVerifyMode, type TlsSettings, tlsVersions } from './tls.js';

export interface Options {
  /** 0: off; undefined: any free port. */
  tcpPort: number | undefined;
  udpPort: number | undefined;
  addresses: string[];
  /** Serves this socket file instead of the network. */
  unixSocket: string | undefined;
  unixMode: number;
  backlog: number;
  /** Undefined: as many as the library chooses. */
  workers: number | undefined;
  connections: number;
  /** Refuse connections past the limit with an error instead of letting them wait. */
  refuseConnections: boolean;
  requestsPerTurn: number;
  /** Seconds; 0: none. */
  idleTimeout: number;
  megabytes: number;
  itemSize: number;
  evict: boolean;
  trackSizes: boolean;
  /** Keep the store in memory: mlock(2). */
  lockMemory: boolean;
  largePages: boolean;
  credentials: string | undefined;
  shutdownCommand: boolean;
  flushCommand: boolean;
  debugTime: boolean;
  loopDelay: boolean;
  protocol: 'auto' | 'ascii' | 'binary';
  /** -S: clients authenticate by SASL, and speak the binary protocol only. */
  sasl: boolean;
  prefixDelimiter: string;
  /** Undefined: TCP without TLS. */
  tls: TlsSettings | undefined;
  pidFile: string | undefined;
  /** User to become once the ports are bound, if started by root. */
  user: string | undefined;
  steering: string | undefined;
  /** Socket for freebsd-rss top. */
  admin: string | undefined;
  /** Messages without a time. */
  syslog: boolean;
  /** Number of -v. */
  verbose: number;
}

export const usage = `A memcached-style server on RSS-aware workers.

  -p, --port=NUM             TCP port (default 11211, 0 is off, -1 any)
  -U, --udp-port=NUM         UDP port (default 0, off)
  -l, --listen=ADDR          address or host name to listen on, may have a port
                             as in host:port, may be repeated or a list with
                             commas (default 127.0.0.1)
  -s, --unix-socket=FILE     Unix socket to listen on, instead of the network
  -a, --unix-mask=MODE       its permissions in octal (default 0700)
  -b, --listen-backlog=NUM   connections that wait to be accepted (default 1024)
  -t, --threads=NUM          workers (default one per CPU)
  -c, --conn-limit=NUM       connections at the same time (default 1024); more
                             wait until others end
  -R, --max-reqs-per-event=NUM
                             requests of one connection before others have
                             their turn (default 20)
  -m, --memory-limit=NUM     item memory in megabytes (default 64)
  -I, --max-item-size=SIZE   largest item, with k or m (default 1m,
                             or a quarter of -m; at most 128m)
  -k, --lock-memory          lock the items' memory, so that it is never swapped
                             out
  -L, --enable-largepages    large pages for the items, if there are enough
  -M, --disable-evictions    refuse new items when the memory is full
  -Y, --auth-file=FILE       users and passwords, "user:password" a line; read
                             again on SIGHUP
  -A, --enable-shutdown      allow the "shutdown" command
  -F, --disable-flush-all    refuse the "flush_all" command
  -D CHAR                    character that ends a key's prefix for
                             "stats detail" (default ":")
  -S, --enable-sasl          binary protocol alone, with SASL PLAIN against the
                             users and passwords of -Y
  -B, --protocol=NAME        "ascii", "binary", or "auto" (default) for both
  -Z, --enable-ssl           TLS on TCP; needs ssl_chain_cert and ssl_key
  -P, --pidfile=FILE         write the process id to this file
  -u, --user=NAME            become this user, when started by root
  -o, --extended=LIST        with commas between them:
        idle_timeout=NUM       close connections idle for so many seconds
        maxconns_fast          refuse connections past -c with an error
        track_sizes            keep the counts of "stats sizes"
        debugtime              allow the "debugtime" command, for tests
        loop_delay             measure how late the workers' event loops are, for
                               "stats rss"
        steering=NAME          how connections reach the workers (default auto)
        ssl_chain_cert=FILE    for -Z: certificate, and those of its issuers
        ssl_key=FILE           its key
        ssl_verify_mode=NUM    certificates of clients: 0 none (default),
                               1 optional, 2 or 3 required
        ssl_ca_cert=FILE       who signs them
        ssl_min_version=NUM    0 to 3 for TLS 1.0 to 1.3 (default 2)
        admin=FILE             socket for "freebsd-rss top"
        syslog                 messages without a time, for syslog
  -v, --verbose              say more, may be repeated
  -V, --version              print the version
  -h, --help                 print this help
`;

/** A wrong command line. The message says why. */
export class UsageError extends Error {}

function number(name: string, text: string, min: number, max: number): number {
  const value = /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max))
    throw new UsageError(`${name} must be a number from ${min} to ${max}, not "${text}"`);
  return value;
}

/** -1 means any free port. */
function port(name: string, text: string): number | undefined {
  const value = number(name, text, -1, 65535);
  return value === -1 ? undefined : value;
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

function protocol(text: string): Options['protocol'] {
  if (text === 'auto' || text === 'ascii' || text === 'binary') return text;
  throw new UsageError(`-B must be "auto", "ascii" or "binary", not "${text}"`);
}

/** The list of -o. */
function extended(lists: string[]) {
  const found = {
    idleTimeout: 0,
    refuseConnections: false,
    trackSizes: false,
    debugTime: false,
    loopDelay: false,
    steering: undefined as string | undefined,
    admin: undefined as string | undefined,
    syslog: false,
  };
  const ssl: Record<string, string> = {};
  for (const word of lists.flatMap((list) => list.split(','))) {
    const [name, value] = word.split(/=(.*)/s, 2);
    if (name === 'idle_timeout')
      found.idleTimeout = number('-o idle_timeout', value ?? '', 1, 2_000_000);
    else if (name === 'steering' && value !== undefined) found.steering = value;
    else if (name === 'admin' && value) found.admin = value;
    else if (name !== undefined && sslNames.includes(name) && value) ssl[name] = value;
    else if (word === 'maxconns_fast') found.refuseConnections = true;
    else if (word === 'track_sizes') found.trackSizes = true;
    else if (word === 'debugtime') found.debugTime = true;
    else if (word === 'loop_delay') found.loopDelay = true;
    else if (word === 'syslog') found.syslog = true;
    else throw new UsageError(`-o does not have "${word}"`);
  }
  return { ...found, ssl };
}

const sslNames = ['ssl_chain_cert', 'ssl_key', 'ssl_ca_cert', 'ssl_verify_mode', 'ssl_min_version'];

/** -Z, and the words of -o that go with it. */
function tls(enabled: boolean, ssl: Record<string, string>): TlsSettings | undefined {
  const [first] = Object.keys(ssl);
  if (!enabled && first !== undefined) throw new UsageError(`-o ${first} needs -Z`);
  if (!enabled) return undefined;
  const {
    ssl_chain_cert: chainCert,
    ssl_key: key,
    ssl_ca_cert: caCert,
    ssl_verify_mode: mode = '0',
    ssl_min_version: version = '2',
  } = ssl;
  if (chainCert === undefined || key === undefined)
    throw new UsageError('-Z needs -o ssl_chain_cert=FILE,ssl_key=FILE');
  const verifyMode = number('-o ssl_verify_mode', mode, 0, mostVerifyMode);
  if (verifyMode > 0 && caCert === undefined)
    throw new UsageError('-o ssl_verify_mode needs -o ssl_ca_cert=FILE');
  const minVersion = number('-o ssl_min_version', version, 0, tlsVersions.length - 1);
  return { chainCert, key, caCert, verifyMode, minVersion };
}

/** Turns memcached's "-p -1" into the "-p-1" that util.parseArgs() wants. */
function joinNegative(args: string[]): string[] {
  const joined: string[] = [];
  for (const word of args)
    if (word === '-1' && ['-p', '-U'].includes(joined.at(-1) ?? ''))
      joined.push(`${joined.pop()}-1`);
    else joined.push(word);
  return joined;
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args: joinNegative(args),
      options: {
        port: { type: 'string', short: 'p' },
        'udp-port': { type: 'string', short: 'U', default: '0' },
        listen: { type: 'string', short: 'l', multiple: true, default: ['127.0.0.1'] },
        'unix-socket': { type: 'string', short: 's' },
        'unix-mask': { type: 'string', short: 'a', default: '700' },
        'listen-backlog': { type: 'string', short: 'b', default: '1024' },
        threads: { type: 'string', short: 't' },
        'conn-limit': { type: 'string', short: 'c', default: '1024' },
        'max-reqs-per-event': { type: 'string', short: 'R', default: '20' },
        'memory-limit': { type: 'string', short: 'm', default: '64' },
        'max-item-size': { type: 'string', short: 'I' },
        'lock-memory': { type: 'boolean', short: 'k', default: false },
        'enable-largepages': { type: 'boolean', short: 'L', default: false },
        'disable-evictions': { type: 'boolean', short: 'M', default: false },
        'auth-file': { type: 'string', short: 'Y' },
        'enable-shutdown': { type: 'boolean', short: 'A', default: false },
        'disable-flush-all': { type: 'boolean', short: 'F', default: false },
        D: { type: 'string', short: 'D', default: ':' },
        'enable-sasl': { type: 'boolean', short: 'S', default: false },
        protocol: { type: 'string', short: 'B' },
        'enable-ssl': { type: 'boolean', short: 'Z', default: false },
        pidfile: { type: 'string', short: 'P' },
        user: { type: 'string', short: 'u' },
        extended: { type: 'string', short: 'o', multiple: true, default: [] },
        verbose: { type: 'boolean', short: 'v', multiple: true, default: [] },
        version: { type: 'boolean', short: 'V', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** Returns the options, or a text to print instead of serving. Throws UsageError. */
export function parseOptions(args: string[], version: string): Options | string {
  const values = parse(args);
  if (values.help) return usage;
  if (values.version) return `freebsd-rss memcached ${version}\n`;
  const megabytes = number('-m', values['memory-limit'], 1, 65536);
  const mostItem = (megabytes * 2 ** 20) / 4;
  const itemSize = values['max-item-size'];
  const unixSocket = values['unix-socket'];
  const sasl = values['enable-sasl'];
  const udpPort = port('-U', values['udp-port']);
  // As in memcached: with -U alone, TCP has the same port.
  const defaultPort = udpPort === 0 ? '11211' : values['udp-port'];
  const { ssl, ...others } = extended(values.extended);
  const options: Options = {
    tcpPort: unixSocket === undefined ? port('-p', values.port ?? defaultPort) : 0,
    udpPort: unixSocket === undefined ? udpPort : 0,
    unixSocket,
    unixMode: mode(values['unix-mask']),
    addresses: values.listen.flatMap((list) => list.split(',')),
    backlog: number('-b', values['listen-backlog'], 1, 65535),
    workers: values.threads === undefined ? undefined : number('-t', values.threads, 1, 128),
    connections: number('-c', values['conn-limit'], 1, 2 ** 20 - 1),
    requestsPerTurn: number('-R', values['max-reqs-per-event'], 1, 2 ** 31 - 1),
    megabytes,
    itemSize: itemSize === undefined ? Math.min(2 ** 20, mostItem) : size(itemSize),
    evict: !values['disable-evictions'],
    lockMemory: values['lock-memory'],
    largePages: values['enable-largepages'],
    credentials: values['auth-file'],
    shutdownCommand: values['enable-shutdown'],
    flushCommand: !values['disable-flush-all'],
    protocol: protocol(values.protocol ?? (sasl ? 'binary' : 'auto')),
    sasl,
    prefixDelimiter: values.D,
    pidFile: values.pidfile,
    user: values.user,
    verbose: values.verbose.length,
    tls: tls(values['enable-ssl'], ssl),
    ...others,
  };
  if (options.tcpPort === 0 && options.udpPort === 0 && unixSocket === undefined)
    throw new UsageError('-p and -U are both 0: nothing to serve');
  for (const address of options.addresses)
    if (!/^[\w.:%[\]-]+$/.test(address))
      throw new UsageError(
        `-l must be an address or a host name, with or without a port, not "${address}"`,
      );
  if (options.itemSize > mostItem) throw new UsageError('-I must be at most a quarter of -m');
  if (options.prefixDelimiter.length !== 1) throw new UsageError('-D must be one character');
  if (options.credentials !== undefined && options.udpPort !== 0)
    throw new UsageError('-Y does not go with -U: datagrams cannot authenticate');
  if (options.tls !== undefined && (options.udpPort !== 0 || unixSocket !== undefined))
    throw new UsageError('-Z goes with neither -U nor -s: TLS is for TCP');
  if (sasl && options.credentials === undefined) throw new UsageError('-S needs -Y');
  if (sasl && options.protocol !== 'binary')
    throw new UsageError(`-S needs the binary protocol, not "-B ${options.protocol}"`);
  return options;
}
