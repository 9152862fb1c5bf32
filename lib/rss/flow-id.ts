// What a flow id is, judged by a hash key that is known for certain. Pure.
import { hashTypeInner } from '../contract.js';
import { native } from '../native.js';
import { type Fields, fieldsOf, type ObservedFlow } from './key-learner.js';
import { addressWords, type FlowTuple, tupleWords } from './tuple.js';

/** The Toeplitz hashes of a flow by a key: over addresses and ports, and over addresses alone. */
export function hashesOf(key: Uint8Array, flow: FlowTuple): Record<Fields, number> {
  const words = tupleWords(flow);
  const bytes = Buffer.alloc(words.length * 4);
  words.forEach((word, i) => bytes.writeUInt32BE(word, i * 4));
  const addresses = bytes.subarray(0, addressWords(words) * 4);
  return { '4-tuple': native.toeplitz(key, bytes), '2-tuple': native.toeplitz(key, addresses) };
}

/**
 * 'right': the hash over the fields that the type names. 'udp-ports': the same, but of UDP ports,
 * which the configuration does not hash. 'other-fields': a hash by this key over other fields than
 * the type names. 'tunnel': of a packet within this one, whose addresses are not known.
 * 'other-key': none of these.
 */
export type FlowIdVerdict = 'right' | 'udp-ports' | 'other-fields' | 'tunnel' | 'other-key';

/** Undefined: the type does not say that the id is a hash over known fields. */
export function judgeFlowId(
  flow: ObservedFlow,
  key: Uint8Array,
  udpHash: Fields,
): FlowIdVerdict | undefined {
  const type = flow.hashType & ~hashTypeInner;
  const fields = fieldsOf[type];
  if (fields === undefined) return undefined;
  const hashes = hashesOf(key, flow);
  if (hashes[fields] === flow.flowId) {
    const ports = flow.transport === 'udp' && fields === '4-tuple' && udpHash === '2-tuple';
    return ports ? 'udp-ports' : 'right';
  }
  if (type !== flow.hashType) return 'tunnel';
  return Object.values(hashes).includes(flow.flowId) ? 'other-fields' : 'other-key';
}

/** Why ids with this verdict lead to other buckets, and what helps. */
export const flowIdRemedies: Record<Exclude<FlowIdVerdict, 'right'>, string> = {
  'udp-ports':
    'it hashes UDP ports, and the kernel does not: turn that off in its driver (udp_4tuple)',
  'other-fields': 'the card hashes other fields than the hash type names',
  tunnel: 'the card hashes the packet in the tunnel',
  'other-key': 'the card hashes by another key than the kernel’s, or by another function',
};
