// Whether the kernel's hashes are by the key that a card's driver tells. Linux: no program can read
// the hash of a connection, but a socket filter compares it with a given one.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';

import { isFailure, unwrap } from '../lib/errors.js';
import { native } from '../lib/native.js';
import { parseKey } from '../lib/rss/card/keys.js';
import { interfaceAddresses } from './interfaces.js';

const connections = 8;
/** After this many other hashes there is nothing to find out any more. */
const mostOther = 2;

export interface HashCheck {
  interface: string;
  /** Undefined: the driver tells no key. */
  checked: { connections: number; byKey: number } | undefined;
}

/** The address from which this host reaches a peer. */
async function localTowards(peer: string): Promise<string> {
  const socket = createSocket(isIPv6(peer) ? 'udp6' : 'udp4');
  try {
    socket.connect(9, peer);
    await once(socket, 'connect');
    return socket.address().address;
  } finally {
    socket.close();
  }
}

function interfaceOf(local: string): string {
  const all = Object.entries(interfaceAddresses());
  return all.find(([, own]) => own?.some(({ address }) => address === local))?.[0] ?? 'unknown';
}

/** Connects to a peer, at most eight times. */
export async function checkReceiveHash(peer: string, port: number): Promise<HashCheck> {
  const local = await localTowards(peer);
  const name = interfaceOf(local);
  const hash = native.cardHash(name);
  const key = isFailure(hash) ? undefined : parseKey(hash.key.subarray(0, 40));
  if (key === undefined) return { interface: name, checked: undefined };
  let [tried, byKey] = [0, 0];
  while (tried < connections && tried - byKey < mostOther) {
    tried++;
    if (unwrap(native.hasReceiveHash(local, peer, port, key), { address: peer, port })) byKey++;
  }
  return { interface: name, checked: { connections: tried, byKey } };
}
