// The command line of `freebsd-rss load`.
import { lookup } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';

import type { RssConfig } from 'freebsd-rss';

import { addressAndPort, number, parse, UsageError } from '../command.js';
import { findFlows } from '../flows.js';
import { configurationOf } from '../server-config.js';
import { type Protocol, protocols, type Sizes, type Source, type Target } from './messages.js';

const defaultPorts: Partial<Record<Protocol, number>> = { memcached: 11211, http: 80 };
const smallest: Record<Protocol, number> = { udp: 8, tcp: 4, memcached: 0, http: 0 };
const largest: Record<Protocol, number> = { udp: 65507, tcp: 2 ** 20, memcached: 2 ** 27, http: 0 };
const mostConnections = 100_000;
/** Sizes of the simple Internet mix of RFC 6985, less 28 bytes of headers. */
const imix = '36:7,548:4,1472:1';

export interface LoadOptions {
  url: string;
  target: Target;
  sources: Source[];
  workers: number;
  depth: number;
  /** Requests a second; undefined: a closed loop. */
  rate: number | undefined;
  seconds: number;
  warmup: number;
  timeout: number;
  sizes: Sizes;
  keys: number;
  zipf: number;
  sets: number;
  fill: boolean;
  findMax: boolean;
  /** The server's RSS configuration, for the buckets of flows. */
  config: RssConfig;
  json: boolean;
  svg: string | undefined;
}

const decimal = (name: string, text: string, min: number, max: number) =>
  number(name, text, min, max, /^\d+(\.\d+)?$/);

/** "64", "64-1400", "64:7,1400:3", "imix". */
export function parseSizes(text: string, protocol: Protocol): Sizes {
  const [min, max] = [smallest[protocol], largest[protocol]];
  return (text === 'imix' ? imix : text).split(',').map((part) => {
    const [range = '', weight = '1'] = part.split(':');
    const [first = '', last = first] = range.split('-');
    const from = number('--size', first, min, max);
    return {
      from,
      to: number('--size', last, from, max),
      weight: decimal('a weight of --size', weight, 0.001, 1e6),
    };
  });
}

async function parseTarget(text: string | undefined): Promise<Target> {
  if (text === undefined)
    throw new UsageError(
      'load takes the URL of a server, with udp, tcp, memcached or http: ' +
        'freebsd-rss load udp://10.0.0.2:7007',
    );
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new UsageError(`"${text}" is no URL`);
  }
  const protocol = url.protocol.slice(0, -1) as Protocol;
  if (!protocols.includes(protocol))
    throw new UsageError(`load speaks ${protocols.join(', ')}, not "${protocol}"`);
  const port = url.port === '' ? defaultPorts[protocol] : Number(url.port);
  if (port === undefined || port === 0) throw new UsageError(`"${text}" has no port`);
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const address = isIP(host) > 0 ? host : (await lookup(host)).address;
  return {
    protocol,
    address,
    port,
    path: `${url.pathname || '/'}${url.search}`,
    authority: url.host,
  };
}

function sourceOf({ address, port }: { address: string; port?: number | undefined }): Source {
  return { localAddress: address, ...(port === undefined ? {} : { localPort: port }) };
}

/** Parses the output of `freebsd-rss flows`, a table or --json. */
export function parseSources(text: string): Source[] {
  if (text.trimStart().startsWith('['))
    return (JSON.parse(text) as { address: string; port?: number }[]).map(sourceOf);
  return text
    .split('\n')
    .map((line) => line.trim().split(/\s+/).at(-1)!)
    .filter((word) => word !== '' && word !== 'source')
    .map((word) => sourceOf(addressAndPort(word)));
}

function readSources(file: string): Source[] {
  let list: Source[];
  try {
    list = parseSources(readFileSync(file === '-' ? 0 : file, 'utf8'));
  } catch (error) {
    throw new UsageError(`--sources ${file}: ${(error as Error).message}`);
  }
  if (list.length === 0) throw new UsageError(`${file} names no sources`);
  return list;
}

function chooseSources(
  values: { connections: string; from?: string; 'per-bucket'?: string; sources?: string },
  target: Target,
  config: RssConfig,
): Source[] {
  const count = number('--connections', values.connections, 1, mostConnections);
  const { from, 'per-bucket': perBucket, sources } = values;
  if (sources !== undefined) {
    if (from !== undefined || perBucket !== undefined)
      throw new UsageError('--sources replaces --from and --per-bucket');
    return readSources(sources);
  }
  if (perBucket !== undefined) {
    if (from === undefined) throw new UsageError('--per-bucket needs --from, for the addresses');
    const addressesAlone = target.protocol === 'udp' && config.udpHash === '2-tuple';
    return findFlows({
      server: target.address,
      serverPort: addressesAlone ? undefined : target.port,
      from,
      perBucket: number('--per-bucket', perBucket, 1, mostConnections),
      firstPort: 10000,
      lastPort: 65535,
      config,
    }).map(sourceOf);
  }
  const pool =
    from === undefined ? [] : from.split(',').map((text) => addressAndPort(text).address);
  return Array.from({ length: count }, (_, i) =>
    pool.length === 0 ? {} : { localAddress: pool[i % pool.length]! },
  );
}

async function serverConfiguration(
  values: { key?: string; admin?: string; buckets?: string; 'udp-hash'?: string },
  target: Target,
): Promise<RssConfig> {
  const config = await configurationOf(values, target.address);
  const { 'udp-hash': udpHash = config.udpHash } = values;
  if (udpHash !== '2-tuple' && udpHash !== '4-tuple')
    throw new UsageError(`--udp-hash must be 2-tuple or 4-tuple, not "${udpHash}"`);
  return { ...config, udpHash };
}

export async function parseLoadOptions(args: string[]): Promise<LoadOptions> {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: {
      connections: { type: 'string', short: 'c', default: '16' },
      depth: { type: 'string', short: 'd', default: '1' },
      workers: { type: 'string', short: 'w', default: '1' },
      rate: { type: 'string', short: 'r' },
      seconds: { type: 'string', short: 's', default: '10' },
      warmup: { type: 'string', default: '1' },
      timeout: { type: 'string' },
      size: { type: 'string', default: '64' },
      keys: { type: 'string', default: '10000' },
      zipf: { type: 'string', default: '0' },
      sets: { type: 'string', default: '10' },
      fill: { type: 'boolean', default: false },
      from: { type: 'string' },
      'per-bucket': { type: 'string' },
      sources: { type: 'string' },
      key: { type: 'string' },
      admin: { type: 'string' },
      buckets: { type: 'string' },
      'udp-hash': { type: 'string' },
      'find-max': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      svg: { type: 'string' },
    },
  });
  if (positionals.length > 1) throw new UsageError('load takes one URL');
  const target = await parseTarget(positionals[0]);
  const { protocol } = target;
  if (values.fill && protocol !== 'memcached') throw new UsageError('--fill is for memcached://');
  if (values['find-max'] && values.rate !== undefined)
    throw new UsageError('--find-max looks for the rate: it takes no --rate');
  // With the usual timeout, a trial might end before a growing queue causes a loss.
  const { timeout = values['find-max'] ? '100' : '1000' } = values;
  const config = await serverConfiguration(values, target);
  const sources = chooseSources(values, target, config);
  const workers = Math.min(number('--workers', values.workers, 1, 1024), sources.length);
  return {
    url: positionals[0]!,
    target,
    sources,
    workers,
    depth: number('--depth', values.depth, 1, 65536),
    rate: values.rate === undefined ? undefined : number('--rate', values.rate, 1, 1e9),
    seconds: decimal('--seconds', values.seconds, 0.1, 86_400),
    warmup: decimal('--warmup', values.warmup, 0, 3600),
    timeout: number('--timeout', timeout, 1, 60_000),
    sizes:
      protocol === 'http' ? [{ from: 0, to: 0, weight: 1 }] : parseSizes(values.size, protocol),
    keys: number('--keys', values.keys, 1, 1e7),
    zipf: decimal('--zipf', values.zipf, 0, 10),
    sets: decimal('--sets', values.sets, 0, 100) / 100,
    fill: values.fill,
    findMax: values['find-max'],
    config,
    json: values.json,
    svg: values.svg,
  };
}
