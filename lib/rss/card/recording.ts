// A host's facts and flows: `freebsd-rss record` writes them, `freebsd-rss replay` reads them.
import { isIP } from 'node:net';

import type { ObservedFlow } from '../key-learner.js';
import { type CardFacts, cardsIn } from './drivers.js';

export interface RecordedFlow extends ObservedFlow {
  /** Receive queues whose counters moved while only this flow had traffic; none: not measured. */
  queues: readonly number[];
  /** The kernel thread that ran most meanwhile. Other work may disturb this. */
  busiestThread: string | undefined;
}

export interface Recording {
  kernel: string;
  cpus: number;
  /** The card in words, its driver first. */
  card: string;
  /** The interface, where it was recorded. */
  interface: string | undefined;
  sysctl: Readonly<Record<string, string>>;
  interrupts: readonly string[];
  flows: readonly RecordedFlow[];
}

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const text = (value: unknown) => (typeof value === 'string' ? value : '');
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

function integer(value: unknown, max: number): number | undefined {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max
    ? value
    : undefined;
}

function parseFlow(value: unknown, index: number): RecordedFlow {
  const bad = (what: string) => new Error(`flow ${index + 1}: ${what}`);
  if (!isObject(value)) throw bad('no object');
  const { transport, peer, local } = value;
  if (transport !== 'tcp' && transport !== 'udp') throw bad('"transport" must be "tcp" or "udp"');
  if (typeof peer !== 'string' || typeof local !== 'string') throw bad('no addresses');
  const family = (address: string) => isIP(address.split('%')[0]!);
  if (family(peer) === 0 || family(peer) !== family(local)) throw bad('no pair of IP addresses');
  const [peerPort, localPort] = [integer(value.peerPort, 65535), integer(value.localPort, 65535)];
  if (peerPort === undefined || localPort === undefined) throw bad('no ports');
  const thread = value.busiestThread;
  return {
    transport,
    peer,
    peerPort,
    local,
    localPort,
    // A flow without an id has type 0.
    flowId: integer(value.flowId, 0xffffffff) ?? 0,
    hashType: value.flowId === null ? 0 : (integer(value.hashType, 255) ?? 0),
    queues: list(value.queues).filter((queue): queue is number => integer(queue, 65535) === queue),
    busiestThread: typeof thread === 'string' ? thread : undefined,
  };
}

/** Throws an Error that says what is missing. */
export function parseRecording(json: string): Recording {
  const value: unknown = JSON.parse(json);
  if (!isObject(value) || !isObject(value.sysctl) || !Array.isArray(value.flows))
    throw new Error('no recording: it needs "sysctl" and "flows"');
  const sysctl: Record<string, string> = {};
  for (const [name, entry] of Object.entries(value.sysctl))
    if (typeof entry === 'string' || typeof entry === 'number') sysctl[name] = `${entry}`;
  const interrupts = list(value.interrupts).map(text);
  return {
    kernel: text(value.kernel),
    cpus: integer(value.cpus, 65535) ?? Number(sysctl['hw.ncpu'] ?? 1),
    card: text(value.card),
    interface: typeof value.interface === 'string' ? value.interface : undefined,
    sysctl,
    // A single text with line ends, as sysctl(8) prints it, is accepted too.
    interrupts: interrupts.length > 0 ? interrupts : text(value.interrupts).split('\n'),
    flows: value.flows.map(parseFlow),
  };
}

/** Names of cards that differ from those of their drivers. */
const spoken: readonly (readonly [RegExp, string])[] = [
  [/^vmxnet3\b/i, 'vmx'],
  [/^virtio\b/i, 'vtnet'],
  [/^mlx5\b/i, 'mce'],
];

/** The card that received the flows: the named interface, else the described card. */
export function recordedCard(recording: Recording): CardFacts | undefined {
  const { sysctl, interrupts, card } = recording;
  const allowedCpus = Array.from({ length: recording.cpus }, (_, cpu) => cpu);
  const cards = cardsIn(sysctl);
  const driver =
    spoken.find(([pattern]) => pattern.test(card))?.[1] ?? /^[a-z]\w*/i.exec(card)?.[0] ?? '';
  const named = cards.find((one) => `${one.driver}${one.unit}` === recording.interface);
  // The recorded card has all values of its device, %driver included. Others may have a few.
  const whole = (one: { driver: string; unit: number }) =>
    sysctl[`dev.${one.driver}.${one.unit}.%driver`] !== undefined;
  const described = cards.filter((one) => one.driver.toLowerCase() === driver.toLowerCase());
  const found =
    named ??
    described.find(whole) ??
    described[0] ??
    cards.find(whole) ??
    (cards.length === 1 ? cards[0] : undefined);
  return found === undefined ? undefined : { ...found, sysctl, interrupts, allowedCpus };
}
