// freebsd-rss record: records a host's cards and flows, for use where there is no such card.
import { writeFileSync } from 'node:fs';
import { cpus, release, type } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

import { openListener } from 'freebsd-rss';

import { isFailure, systemError, unwrap } from '../lib/errors.js';
import { native, type RecordedNativeFlow } from '../lib/native.js';
import { cardsIn } from '../lib/rss/card/drivers.js';
import { stackOf } from '../lib/rss/card/interfaces.js';
import { type Listener, numberOf } from '../lib/socket/listen.js';
import { addressAndPort, type Command, number, parse, UsageError } from './command.js';

const usage = `Records what the network cards say of flows, for freebsd-rss replay.

  freebsd-rss record FILE [options]

  --listen ADDR[:PORT]   where flows come to (default [::]:7357), TCP and UDP
  --flows N              how many flows to wait for (default 120)
  --interface NAME       the card that they come by, or the lagg(4) or vlan(4)
                         (default: the first with several receive queues)

Connections are closed at once, datagrams are not answered. Send some from
another host, from many ports:
  for i in $(jot 60); do nc -z HOST 7357; echo | nc -u -w 1 HOST 7357; done

FILE holds the addresses and ports of these flows, and the card's hash key can
be computed from it: send it only to people you trust. FreeBSD only.

Example:
  freebsd-rss record igc.json --flows 60 --interface igc0
`;

const defaultPort = 7357;

/** Values that card maps need, and values that describe the machine. */
const names = ['kern.ostype', 'kern.osrelease', 'kern.osreldate', 'hw.ncpu', 'net.isr', 'dev'];
/** Values of network cards beneath dev. */
const isCardValue = (name: string, devices: ReadonlySet<string>) =>
  !name.startsWith('dev.') || devices.has(name.split('.').slice(0, 3).join('.'));

function systemValues(name: string): [string, string][] {
  const values = native.systemValues(name);
  if (!isFailure(values)) return values;
  const error = systemError(values);
  if (error.code === 'ENOENT') return [];
  throw error;
}

/** Everything but the flows. */
export function gather(wanted: string | undefined) {
  const all = Object.fromEntries(names.flatMap(systemValues));
  const cards = cardsIn(all);
  const devices = new Set(cards.map(({ driver, unit }) => `dev.${driver}.${unit}`));
  const found = cards.map(({ driver, unit }) => `${driver}${unit}`);
  const several = found.find((one) => /rxq1/.test(valuesOf(all, one).join(' ')));
  const { device, stack } = interfaceOf(wanted ?? several ?? found[0]);
  const below = stack[0]?.below.join(', ') || 'unknown';
  const description = device === undefined ? '' : (all[`${nodeOf(device)}.%desc`] ?? below);
  return {
    kernel: `${type()} ${release()}`,
    osreldate: Number(all['kern.osreldate'] ?? 0),
    cpus: cpus().length,
    card: device === undefined ? '' : `${device.replace(/\d+$/, '')} (${description})`,
    interface: device,
    interfaces: stack.map(({ name, device, kind, below }) => ({ name, device, kind, below })),
    sysctl: Object.fromEntries(Object.entries(all).filter(([key]) => isCardValue(key, devices))),
    interrupts: systemValues('hw.intrs').flatMap(([, text]) => text.trim().split('\n')),
  };
}

/**
 * The driver's name of an interface, which may have been renamed, and the interface with those
 * beneath it. Empty: there is none of this name.
 */
function interfaceOf(name: string | undefined) {
  const all = native.networkInterfaces();
  const interfaces = isFailure(all) ? [] : all;
  const found =
    interfaces.find((one) => one.name === name) ?? interfaces.find((one) => one.device === name);
  return {
    device: found?.device ?? name,
    stack: found === undefined ? [] : stackOf(found, interfaces),
  };
}

const nodeOf = (name: string) => name.replace(/^(\w*?)(\d+)$/, 'dev.$1.$2');
const valuesOf = (all: object, name: string) =>
  Object.keys(all).filter((key) => key.startsWith(`${nodeOf(name)}.`));

interface Flow {
  transport: 'tcp' | 'udp';
  peer: string;
  peerPort: number;
  local: string;
  localPort: number;
  flowId: number;
  hashType: number;
  queues: number[];
  busiestThread: null;
}

function toFlow(transport: 'tcp' | 'udp', flow: RecordedNativeFlow): Flow {
  const { peer, local, flowId, hashType } = flow;
  const ends = { peer: peer.address, peerPort: peer.port };
  const own = { local: local.address, localPort: local.port };
  return { transport, ...ends, ...own, flowId, hashType, queues: [], busiestThread: null };
}

/** Reads the flows that wait at a socket. */
function take(listener: Listener, most: number): Flow[] {
  const flows: Flow[] = [];
  const { protocol } = listener;
  const next = protocol === 'tcp' ? native.acceptFlow : native.receiveFlow;
  while (flows.length < most) {
    const flow = next(numberOf(listener));
    if (isFailure(flow)) {
      if (!['EAGAIN', 'ECONNABORTED'].includes(systemError(flow).code)) unwrap(flow);
      break;
    }
    flows.push(toFlow(protocol, flow));
  }
  return flows;
}

async function run(args: string[]): Promise<number> {
  const { values, positionals } = parse({
    args,
    options: {
      listen: { type: 'string', default: `[::]:${defaultPort}` },
      flows: { type: 'string', default: '120' },
      interface: { type: 'string' },
    },
    allowPositionals: true,
  });
  const [file, ...more] = positionals;
  if (file === undefined || more.length > 0) throw new UsageError('record needs one file');
  const { address: host, port = defaultPort } = addressAndPort(values.listen);
  const wanted = number('--flows', values.flows, 1, 100_000);
  const facts = gather(values.interface);
  writeFileSync(file, ''); // fails early if the file cannot be written
  using tcp = openListener({ protocol: 'tcp', host, port });
  using udp = openListener({ protocol: 'udp', host, port: tcp.port });
  console.error(`waiting for ${wanted} flows at ${host} port ${tcp.port}, TCP and UDP`);
  const flows = new Map<string, Flow>();
  while (flows.size < wanted) {
    for (const listener of [tcp, udp])
      for (const flow of take(listener, wanted - flows.size))
        flows.set(JSON.stringify([flow.transport, flow.peer, flow.peerPort]), flow);
    await sleep(20);
  }
  writeFileSync(
    file,
    `${JSON.stringify({ ...facts, flows: [...flows.values()] }, undefined, 1)}\n`,
  );
  console.error(
    `${file}: ${flows.size} flows, with the addresses and ports of those who sent them`,
  );
  return 0;
}

export const record: Command = { usage, run };
