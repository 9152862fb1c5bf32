// What is listed of a server's connections: the answers of workers, and of the admin socket.
import type { HashType } from '../rss/hash.js';

interface End {
  address: string;
  port: number;
}

/** A connection of a running server. What is not known is null. */
export interface ConnectionInfo {
  workerIndex: number;
  bucket: number;
  /** False: opened by connect(). */
  accepted: boolean;
  ageMs: number;
  /** Null: a Unix socket. */
  peer: End | null;
  local: End | null;
  flowId: number | null;
  hashType: HashType | null;
  hashedBy: 'kernel' | 'software' | null;
  /** The CPU that serves it. */
  cpu: number;
  /** The CPU that processed its last packets. */
  packetCpu: number | null;
  /**
   * Payload received, and payload that the peer has acknowledged. Of FreeBSD and of Unix sockets:
   * payload read and written since the connection came to this worker. With `tcp: { tls }`, Linux
   * counts the encrypted bytes.
   */
  bytesIn: number;
  bytesOut: number;
}

/** Some connections of a worker. `next`: where the next page begins; null: there is none. */
export interface ConnectionPage {
  connections: ConnectionInfo[];
  next: number | null;
}
