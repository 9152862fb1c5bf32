// Shared by the commands: command lines, arguments and text.
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { parseArgs, type ParseArgsConfig } from 'node:util';

import { createServer, rssConfig, type RssConfig, type ServerPlan } from 'freebsd-rss';

export interface Command {
  usage: string;
  /** Returns the exit status; throws UsageError. */
  run(args: string[]): number | Promise<number>;
}

/** A command line that cannot be run. The message says why. */
export class UsageError extends Error {}

export function parse<T extends ParseArgsConfig>(config: T): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** `form`: the syntax. Default: only digits. */
export function number(
  name: string,
  text: string,
  min: number,
  max: number,
  form = /^\d+$/,
): number {
  const value = form.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max))
    throw new UsageError(`${name} must be a number from ${min} to ${max}, not "${text}"`);
  return value;
}

export interface AddressAndPort {
  address: string;
  port: number | undefined;
}

/** "10.0.0.1", "10.0.0.1:80", "2001:db8::1", "[2001:db8::1]:80". */
export function addressAndPort(text: string): AddressAndPort {
  const match = /^(?:\[(.*)\]|([^:]*)):(\d+)$/.exec(text);
  const address = match?.[1] ?? match?.[2] ?? text.replace(/^\[(.*)\]$/, '$1');
  if (isIP(address) === 0)
    throw new UsageError(`"${text}" is no IP address, with or without a port`);
  const port = match === null ? undefined : number('a port', match[3]!, 0, 65535);
  return { address, port };
}

/** The addresses of --listen, which may be repeated; a name stands for all of its addresses. */
async function addressesOf(listen: readonly string[]): Promise<string[]> {
  const lists = await Promise.all(
    listen.map(async (text) => {
      const all = await lookup(text.replace(/^\[(.*)\]$/, '$1'), { all: true });
      return all.map(({ address }) => address);
    }),
  ).catch((error: Error) => {
    throw new UsageError(`--listen: ${error.message}`);
  });
  return [...new Set(lists.flat())];
}

/** The plan of a server on these addresses, or on all. plan() does not load the worker module. */
export async function planHere(listen: readonly string[]): Promise<ServerPlan> {
  const where = listen.length === 0 ? {} : { host: await addressesOf(listen) };
  return createServer({ worker: 'none', tcp: where, udp: where }).plan();
}

/** The configuration of this host, with another key or number of buckets. */
export function configuration(key: string | undefined, buckets: string | undefined): RssConfig {
  let config = rssConfig();
  if (buckets !== undefined) {
    const count = number('--buckets', buckets, 1, 128);
    const bits = Math.log2(count);
    if (!Number.isInteger(bits)) throw new UsageError('--buckets must be a power of two');
    const { bucketMap } = config;
    const map = Array.from({ length: count }, (_, i) => bucketMap[i % bucketMap.length]!);
    // They are another host's, or those of a virtual configuration.
    const source = config.source === 'card' ? 'virtual' : config.source;
    config = { ...config, source, buckets: count, bits, mask: count - 1, bucketMap: map };
  }
  if (key !== undefined) {
    const digits = key.replaceAll(/[:\s]/g, '');
    if (!/^[\da-f]{80}$/i.test(digits))
      throw new UsageError('--key must be 40 bytes in hexadecimal digits');
    config = { ...config, hashKey: Buffer.from(digits, 'hex'), hashKeyReadable: true };
  }
  return config;
}

/** Aligns columns. The last one is neither padded nor limited. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widest = (i: number) => rows.reduce((most, row) => Math.max(most, row[i]!.length), 0);
  const widths = rows[0]?.map((_, i) => widest(i)) ?? [];
  const line = (row: readonly string[]) =>
    row.map((cell, i) => (i < row.length - 1 ? cell.padEnd(widths[i]!) : cell)).join('  ');
  return rows.map((row) => `${line(row).trimEnd()}\n`).join('');
}

/** Wraps text at 80 columns. Lines after the first are indented. */
export function wrap(text: string, indent: number): string {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && indent + last.length + 1 + word.length <= 79)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.join(`\n${' '.repeat(indent)}`);
}

/** "90 s", "5 min", "3.0 h", "2.1 d" */
export function age(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800
    ? `${(seconds / 3600).toFixed(1)} h`
    : `${(seconds / 86_400).toFixed(1)} d`;
}

/** "1234", "120k", "3M" */
export function bytes(count: number): string {
  const step = count < 100_000 ? 0 : Math.floor((Math.log10(count) - 2) / 3);
  return `${Math.round(count / 1000 ** step)}${['', 'k', 'M', 'G', 'T', 'P'][step]}`;
}

export function printJson(value: unknown): void {
  console.log(JSON.stringify(value, undefined, 2));
}
