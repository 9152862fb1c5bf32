import { optionNumber } from '../contract.js';
import { unwrap } from '../errors.js';
import { native } from '../native.js';
import { checkConfig, type RssConfig, rssConfig } from '../rss/config.js';
import type { Flow } from '../rss/hash.js';
import { checkBoolean, checkFd, checkInteger } from '../validate.js';
import { Listener, numberOf } from './listen.js';

type OptionNumber = (typeof optionNumber)[keyof typeof optionNumber];

/** A listener of this package, or the number of any descriptor. */
export type SocketReference = Listener | number;

/** A socket option: read it, set it. Both throw system errors that name it. */
export interface TypedOption<T> {
  /** The value in effect. */
  get(socket: SocketReference): T;
  /** Sets the value; a TypeError for one of another type. */
  set(socket: SocketReference, value: T): void;
}

function fdOf(socket: SocketReference): number {
  return socket instanceof Listener ? numberOf(socket) : checkFd('fd', socket);
}

function setOption(
  socket: SocketReference,
  option: OptionNumber,
  value: number,
  details = {},
): void {
  const fd = fdOf(socket);
  unwrap(native.setSocketOption(fd, option, value), { fd, ...details });
}

function flag(option: OptionNumber): TypedOption<boolean> {
  return {
    get(socket) {
      const fd = fdOf(socket);
      return unwrap(native.getSocketOption(fd, option), { fd }) !== 0;
    },
    set(socket, value) {
      setOption(socket, option, checkBoolean('value', value) ? 1 : 0);
    },
  };
}

/**
 * The socket options that servers with RSS use. On an IPv6 socket the IPV6_ twin is used. Each
 * throws ENOPROTOOPT on a kernel that lacks it: see capabilities().
 */
export const socketOptions = {
  /**
   * IP(V6)_BINDANY (FreeBSD), IP(V6)_TRANSPARENT (Linux): bind addresses that the host does not
   * have.
   */
  bindAny: flag(optionNumber.bindAny),
  /** IP(V6)_BINDMULTI (FreeBSD 11 to 13): several sockets on one address. Before bind. */
  bindMulti: flag(optionNumber.bindMulti),
  /** IP(V6)_RSS_LISTEN_BUCKET (FreeBSD 11 to 13, options RSS). Before bind; cannot be read. */
  listenBucket: {
    /** Throws RangeError outside 0..127, EINVAL past the kernel's buckets. */
    set(socket: SocketReference, bucket: number): void {
      checkInteger('bucket', bucket, 0, 127);
      setOption(socket, optionNumber.listenBucket, bucket, { bucket });
    },
  },
  reusePort: flag(optionNumber.reusePort),
  /** SO_REUSEPORT_LB (FreeBSD 12 and later): the kernel balances over the sockets. Before bind. */
  reusePortLb: flag(optionNumber.reusePortLb),
  /** TCP_REUSPORT_LB_NUMA (FreeBSD 13 and later). It cannot be read. */
  reusePortLbNuma: {
    /**
     * A domain, -1 the current one, -2 none. After bind: ENOENT on a socket that is in no group.
     */
    set(socket: SocketReference, domain: number): void {
      setOption(socket, optionNumber.reusePortLbNuma, checkInteger('domain', domain, -2, 255));
    },
  },
  /** IP(V6)_RECVFLOWID. Delivered reliably only with recvDestination on as well. */
  recvFlowId: flag(optionNumber.recvFlowId),
  /** IP(V6)_RECVRSSBUCKETID. Delivered reliably only with recvDestination on as well. */
  recvRssBucketId: flag(optionNumber.recvRssBucketId),
  /** IP_RECVDSTADDR, IPV6_RECVPKTINFO (FreeBSD); IP_PKTINFO, IPV6_RECVPKTINFO (Linux). */
  recvDestination: flag(optionNumber.recvDestination),
  /**
   * Where a connected socket's flow belongs: by IP(V6)_FLOWID and IP(V6)_FLOWTYPE when the kernel
   * has hashed it with the configuration's key, otherwise by hashing it here. IPv4's IP_RSSBUCKETID
   * is not used, since it reports bucket 0 for flows without a hash. Throws ENOTCONN for an
   * unconnected socket.
   */
  flow(socket: SocketReference, config: RssConfig = rssConfig()): Flow {
    const fd = fdOf(socket);
    return unwrap(native.socketFlow(fd, checkConfig(config)), { fd }) as Flow;
  },
};
