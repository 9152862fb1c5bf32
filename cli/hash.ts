// freebsd-rss hash: prints the hash and bucket of a flow.
import { bucketOf, type RssConfig, type TupleHash } from 'freebsd-rss';

import {
  columns,
  type Command,
  type AddressAndPort,
  addressAndPort,
  parse,
  printJson,
  UsageError,
} from './command.js';
import { configurationOf } from './server-config.js';

const usage = `Hash, bucket and CPU of a flow, as its receiver sees it.

  freebsd-rss hash [options] SOURCE[:PORT] DESTINATION[:PORT]

  --udp          by the hash that UDP has here alone
  --key HEX      another key, 40 bytes
  --admin SOCKET|PID   a server here, for the card's key that it has learnt
  --buckets N    another number of buckets, a power of two
  --json         for programs

The source is the remote end. With both ports the 4-tuple is hashed too.

Example:
  freebsd-rss hash 10.0.0.1:4000 10.0.0.2:80
`;

interface Line extends TupleHash {
  tuple: '2-tuple' | '4-tuple';
}

/** The hash of the addresses and, if both have a port, the hash that includes the ports. */
export function hashes(
  protocol: 'tcp' | 'udp',
  source: AddressAndPort,
  destination: AddressAndPort,
  config: RssConfig,
): Line[] {
  const tuple = {
    source: source.address,
    sourcePort: source.port ?? 0,
    destination: destination.address,
    destinationPort: destination.port ?? 0,
  };
  const hash = (name: Line['tuple']) =>
    bucketOf(
      { ...tuple, protocol: name === '2-tuple' ? 'udp' : protocol },
      { ...config, udpHash: name },
    );
  const lines: Line[] = [{ tuple: '2-tuple', ...hash('2-tuple') }];
  if (source.port !== undefined && destination.port !== undefined)
    lines.push({ tuple: '4-tuple', ...hash('4-tuple') });
  return lines;
}

async function run(args: string[]): Promise<number> {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: {
      udp: { type: 'boolean', default: false },
      key: { type: 'string' },
      admin: { type: 'string' },
      buckets: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  });
  if (positionals.length !== 2)
    throw new UsageError(
      'hash takes a source and a destination: freebsd-rss hash 10.0.0.1:4000 10.0.0.2:80',
    );
  const [source, destination] = positionals.map(addressAndPort) as [AddressAndPort, AddressAndPort];
  const config = await configurationOf(values, destination.address);
  let lines = hashes(values.udp ? 'udp' : 'tcp', source, destination, config);
  if (values.udp) lines = lines.filter(({ tuple }) => tuple === config.udpHash);
  if (lines.length === 0) throw new UsageError('this configuration hashes UDP by ports: give both');
  if (values.json) {
    printJson(lines);
    return 0;
  }
  const hex = (value: number) => `0x${value.toString(16).padStart(8, '0')}`;
  process.stdout.write(
    columns([
      ['', 'hash', 'bucket', 'CPU'],
      ...lines.map(({ tuple, flowId, bucket, cpu }) => [tuple, hex(flowId), `${bucket}`, `${cpu}`]),
    ]),
  );
  return 0;
}

export const hash: Command = { usage, run };
