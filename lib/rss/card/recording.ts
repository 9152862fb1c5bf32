// A host's facts and flows: `freebsd-rss record` writes them, `freebsd-rss replay` reads them.
import { isIP } from 'node:net';

import { plainHost } from '../../socket/host.js';
import type { ObservedFlow } from '../key-learner.js';
import { type CardFacts, cardsIn } from './drivers.js';
import { cardsServing, type NetworkInterface } from './interfaces.js';

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
  /**
   * The interface and those beneath it: ports of a lagg(4), the parent of a vlan(4). Empty: not
   * recorded.
   */
  interfaces: readonly NetworkInterface[];
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

/** Programs that read IP_FLOWID as a signed number write the upper half as negative ones. */
function idOf(value: unknown): number | undefined {
  const signed = typeof value === 'number' && value < 0 && value >= -0x80000000;
  return integer(signed ? value >>> 0 : value, 0xffffffff);
}

function parseFlow(value: unknown, index: number): RecordedFlow {
  const bad = (what: string) => new Error(`flow ${index + 1}: ${what}`);
  if (!isObject(value)) throw bad('no object');
  const { transport, peer, local } = value;
  if (transport !== 'tcp' && transport !== 'udp') throw bad('"transport" must be "tcp" or "udp"');
  if (typeof peer !== 'string' || typeof local !== 'string') throw bad('no addresses');
  const family = (address: string) => isIP(plainHost(address).address);
  if (family(peer) === 0 || family(peer) !== family(local)) throw bad('no pair of IP addresses');
  const [peerPort, localPort] = [integer(value.peerPort, 65535), integer(value.localPort, 65535)];
  if (peerPort === undefined || localPort === undefined) throw bad('no ports');
  const flowId = idOf(value.flowId);
  const thread = value.busiestThread;
  return {
    transport,
    peer,
    peerPort,
    local,
    localPort,
    // A flow without an id has type 0.
    flowId: flowId ?? 0,
    hashType: flowId === undefined ? 0 : (integer(value.hashType, 255) ?? 0),
    queues: list(value.queues).filter((queue): queue is number => integer(queue, 65535) === queue),
    busiestThread: typeof thread === 'string' ? thread : undefined,
  };
}

/** Addresses are not recorded. */
function parseInterface(value: unknown): NetworkInterface[] {
  if (!isObject(value) || text(value.name) === '') return [];
  const name = text(value.name);
  const below = list(value.below).map(text);
  const device = text(value.device) || name;
  return [{ name, device, kind: text(value.kind), up: true, addresses: [], below }];
}

/** Throws an Error that says what is missing. */
export function parseRecording(json: string): Recording {
  const value: unknown = JSON.parse(json.replace(/^\uFEFF/, ''));
  if (!isObject(value) || !isObject(value.sysctl) || !Array.isArray(value.flows))
    throw new Error('no recording: it needs "sysctl" and "flows"');
  const sysctl: Record<string, string> = {};
  for (const [name, entry] of Object.entries(value.sysctl))
    if (typeof entry === 'string' || typeof entry === 'number')
      sysctl[name.trim()] = `${entry}`.trim();
  const interrupts = list(value.interrupts).map(text);
  return {
    kernel: text(value.kernel),
    cpus: integer(value.cpus, 65535) ?? Number(sysctl['hw.ncpu'] ?? 1),
    card: text(value.card),
    interface: typeof value.interface === 'string' ? value.interface : undefined,
    interfaces: list(value.interfaces).flatMap(parseInterface),
    sysctl,
    // A single text with line ends, as sysctl(8) prints it, is accepted too.
    interrupts:
      interrupts.length > 0
        ? interrupts
        : (text(value.interrupts) || (sysctl['hw.intrs'] ?? '')).split('\n'),
    flows: value.flows.map(parseFlow),
  };
}

/** Names of cards that differ from those of their drivers. */
const spoken: readonly (readonly [RegExp, readonly string[]])[] = [
  [/\bvmxnet3\b/i, ['vmx']],
  [/\bvirtio\b/i, ['vtnet']],
  [/\bmlx5|\bconnectx/i, ['mce']],
  [/\bchelsio\b/i, ['cxgbe', 'cxl', 'cc']],
  [/\bhyper-?v\b|\bnetvsc\b/i, ['hn']],
];

/** The cards that may have received the flows. */
export function recordedCards(recording: Recording): CardFacts[] {
  const { sysctl, interrupts, interface: name, interfaces } = recording;
  const allowedCpus = Array.from({ length: recording.cpus }, (_, cpu) => cpu);
  const wanted = interfaces.find((one) => one.device === name || one.name === name);
  const found =
    wanted === undefined
      ? describedCards(recording)
      : cardsServing(interfaces, [], wanted.name).groups.flatMap(({ cards }) => cards);
  return found.map((one) => ({ ...one, sysctl, interrupts, allowedCpus }));
}

/**
 * Without the recorded interfaces: the named card, or else those that are described. Such a
 * recording at a lagg(4) names no card.
 */
function describedCards(recording: Recording): { driver: string; unit: number }[] {
  const { sysctl, card } = recording;
  const cards = cardsIn(sysctl);
  // "igb0.7" is a vlan(4) of igb0.
  const parent = recording.interface?.replace(/(\.\d+)+$/, '');
  const named = cards.filter((one) => `${one.driver}${one.unit}` === parent);
  const isSaid = (word: string) => new RegExp(`\\b${word}\\b`, 'i').test(card);
  const drivers = spoken.flatMap(([pattern, names]) => (pattern.test(card) ? names : []));
  const numbered = cards.filter((one) => isSaid(`${one.driver}${one.unit}`));
  const described = cards.filter(
    ({ driver }) => drivers.includes(driver) || isSaid(`${driver}\\d*`),
  );
  // The device of a driver that is not known is none of these cards.
  const others = [parent ?? '', card].map((one) => /^[a-z]\w*?(?=\d*\b)/i.exec(one)?.[0]);
  const isDevice = (driver?: string) =>
    Object.keys(sysctl).some((name) => name.startsWith(`dev.${driver}.`));
  const known = named.length + described.length > 0 || !others.some(isDevice);
  // The recorded card has all values of its device, %driver included. Others may have a few.
  const whole = (one: { driver: string; unit: number }) =>
    sysctl[`dev.${one.driver}.${one.unit}.%driver`] !== undefined;
  const rest = known ? [cards.filter(whole), cards] : [];
  const candidates = [named, numbered, described.filter(whole), described, ...rest];
  return candidates.find(({ length }) => length > 0) ?? [];
}

export const recordedCard = (recording: Recording): CardFacts | undefined =>
  recordedCards(recording)[0];
