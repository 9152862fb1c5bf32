// Lists a worker's connections in pages, so that a list of many does not block its loop.
import { connectionSlotBits } from '../contract.js';
import { type ConnectionFacts, native } from '../native.js';
import type { ConnectionInfo, ConnectionPage } from '../server/connections.js';
import type { NodeSockets } from './accept.js';
import type { Streams } from './streams.js';

/** Places that are looked at for a page. A connection takes some system calls. */
export const looksPerPage = 500;
/** Positions below are slots of the stream engine; those above are places of sockets. */
const firstSocket = 2 ** connectionSlotBits;

function infoOf(
  facts: ConnectionFacts,
  own: Pick<ConnectionInfo, 'workerIndex' | 'bucket' | 'accepted' | 'ageMs'>,
  bucketMap: readonly number[],
): ConnectionInfo {
  const { peer, local, flow, packetCpu, bytesIn, bytesOut } = facts;
  const known = (value: number) => (value < 0 ? null : value);
  // Where the kernel or a card gave the flow id, the bucket says the CPU.
  const placed = flow?.source === 'kernel' ? (bucketMap[own.bucket] ?? null) : known(packetCpu);
  return {
    ...own,
    peer: peer === undefined ? null : { address: peer.address, port: peer.port },
    local: local === undefined ? null : { address: local.address, port: local.port },
    flowId: flow?.flowId ?? null,
    hashType: flow?.hashType ?? null,
    hashedBy: flow?.source ?? null,
    cpu: native.currentCpu(),
    packetCpu: placed,
    bytesIn,
    bytesOut,
  };
}

/** `after`: where the page before has ended; 0: the first page. */
export function connectionPage(
  workerIndex: number,
  after: number,
  streams: Streams | undefined,
  sockets: NodeSockets,
  bucketMap: readonly number[],
): ConnectionPage {
  if (streams !== undefined && after < firstSocket) {
    const { rows, next } = streams.engine.list(after, looksPerPage);
    const connections = rows.map(({ bucket, accepted, ageMs, ...facts }) =>
      infoOf(facts, { workerIndex, bucket, accepted, ageMs }, bucketMap),
    );
    return { connections, next: next < 0 ? firstSocket : next };
  }
  const from = Math.max(0, after - firstSocket);
  const { listed, next } = sockets.list(from, looksPerPage);
  const connections = listed.map(({ bucket, accepted, ageMs, facts }) =>
    infoOf(facts, { workerIndex, bucket, accepted, ageMs }, bucketMap),
  );
  return { connections, next: next < 0 ? null : firstSocket + next };
}
