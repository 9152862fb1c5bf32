// Addresses and ports as the bits that a card hashes.
import { isIP } from 'node:net';

import { plainHost } from '../socket/host.js';

/** Bytes of an address in network order. An address mapped into IPv6 counts as IPv4. */
export function addressBytes(text: string): Uint8Array {
  const { address } = plainHost(text);
  if (isIP(address) === 4) return Uint8Array.from(address.split('.'), Number);
  const [head = '', tail = ''] = address.split('::');
  const words = (part: string) => (part === '' ? [] : part.split(':').map((w) => parseInt(w, 16)));
  const [first, last] = [words(head), words(tail)];
  const zeros = Array.from({ length: 8 - first.length - last.length }, () => 0);
  const all = [...first, ...zeros, ...last];
  return Uint8Array.from(all.flatMap((word) => [word >> 8, word & 255]));
}

/** Addresses and ports of a received packet. */
export interface FlowTuple {
  transport: 'tcp' | 'udp';
  peer: string;
  peerPort: number;
  local: string;
  localPort: number;
}

/** Toeplitz input as 32-bit words: peer, local, then both ports in the last word. */
export function tupleWords(tuple: FlowTuple): Uint32Array {
  const bytes = [...addressBytes(tuple.peer), ...addressBytes(tuple.local)];
  const words = new Uint32Array(bytes.length / 4 + 1);
  bytes.forEach((byte, i) => {
    words[i >> 2]! |= byte << (24 - (i & 3) * 8);
  });
  words[words.length - 1] = (tuple.peerPort << 16) | tuple.localPort;
  return words;
}

/** Number of words that the addresses take: 2 for IPv4, 8 for IPv6. */
export const addressWords = (words: Uint32Array) => words.length - 1;
