// Where a datagram goes that answers none, and from where: the head that precedes its bytes.
import * as contract from '../contract.js';
import { unwrap } from '../errors.js';
import { native } from '../native.js';
import type { Flow } from '../rss/hash.js';
import { checkHost, checkOptions, checkPort } from '../validate.js';

const {
  hashTypeNumber,
  targetFlowId,
  targetHashType,
  targetPeer,
  targetPort,
  targetSize,
  targetSource,
} = contract;

/** Addresses that are kept in binary form. */
const mostAddresses = 4096;

/** The peer of Datagrams.send(). */
export interface DatagramPeer {
  /** An IP address. */
  address: string;
  port: number;
}

/** How a datagram of Datagrams.send() leaves. */
export interface DatagramPath {
  /**
   * The flow of what the peer has sent, from the batch. On FreeBSD it chooses the transmit queue to
   * an IPv4 peer. By default it is computed, if the source address is known.
   */
  flow?: Pick<Flow, 'flowId' | 'hashType'>;
  /**
   * The address of this host to send from, for an endpoint that serves all addresses. The kernel
   * chooses one by default.
   */
  source?: string;
}

/** Makes the heads, one at a time. */
export class TargetHead {
  readonly bytes = new Uint8Array(targetSize);
  readonly #words = new Uint32Array(this.bytes.buffer);
  readonly #addresses = new Map<string, Uint8Array>();

  /** Throws TypeError and RangeError for what is no address, port or option. */
  write(peer: DatagramPeer, path: DatagramPath | undefined): void {
    const { address, port } = peer;
    this.#words[targetPort] = checkPort('port', port);
    this.bytes.set(this.#binary('address', address), targetPeer);
    if (path !== undefined) checkOptions('send()', path, ['flow', 'source']);
    const { flow, source } = path ?? {};
    this.#words[targetFlowId] = flow?.flowId ?? 0;
    const { hashType = 'unknown' } = flow ?? {};
    this.#words[targetHashType] = hashType === 'unknown' ? 0 : hashTypeNumber[hashType];
    if (source === undefined) this.bytes.fill(0, targetSource, targetPort * 4);
    else this.bytes.set(this.#binary('source', source), targetSource);
  }

  #binary(name: string, text: string): Uint8Array {
    const found = this.#addresses.get(text);
    if (found !== undefined) return found;
    const bytes = unwrap(native.parseAddress(checkHost(name, text)), { address: text });
    if (this.#addresses.size === mostAddresses) this.#addresses.clear();
    this.#addresses.set(text, bytes);
    return bytes;
  }
}
