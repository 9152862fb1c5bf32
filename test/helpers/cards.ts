// Cards and flows that a test makes up: a random key, a table, and ids over chosen fields.
import { tupleWords } from '../../lib/rss/tuple.js';
import type { ObservedFlow } from '../../lib/rss/key-learner.js';
import { toeplitz } from 'freebsd-rss';

export type Random = (below: number) => number;

export const randomKey = (random: Random) => Uint8Array.from({ length: 40 }, () => random(256));
export const randomId = (random: Random) => (random(65536) * 65536 + random(65536)) >>> 0;

/** Type, transport, family and whether ports are hashed. */
export type Kind = readonly [type: number, transport: 'tcp' | 'udp', family: 4 | 6, ports: boolean];

/** What drivers report. */
export const typed: readonly Kind[] = [
  [130, 'tcp', 4, true],
  [132, 'tcp', 6, true],
  [129, 'udp', 4, false],
  [133, 'udp', 6, false],
  [135, 'udp', 4, true],
  [137, 'udp', 6, true],
];
export const opaque: readonly Kind[] = [
  [63, 'udp', 4, true],
  [63, 'udp', 6, true],
  [191, 'tcp', 4, true],
  [191, 'udp', 4, false],
];

/** The card's hash of a flow. */
export function hashOf(key: Uint8Array, flow: ObservedFlow, ports: boolean): number {
  const words = tupleWords(flow);
  const hashed = ports ? words : words.subarray(0, words.length - 1);
  const bytes = [...hashed].flatMap((w) => [w >>> 24, (w >>> 16) & 255, (w >>> 8) & 255, w & 255]);
  return toeplitz(key, Uint8Array.from(bytes));
}

export function randomFlow(random: Random, [hashType, transport, family]: Kind): ObservedFlow {
  const ends =
    family === 4
      ? { peer: `10.9.${random(4)}.${random(254) + 1}`, local: '10.9.0.2' }
      : { peer: `fd05::${random(4)}:${(random(65535) + 1).toString(16)}`, local: 'fd05::2' };
  const peerPort = 1024 + random(60000);
  return { transport, ...ends, peerPort, localPort: 8000, hashType, flowId: 0 };
}
