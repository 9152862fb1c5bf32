// Numbers and layouts that C++ and JavaScript share. The addon exports the same names and values as
// `contract` (native/bindings/contract.cc), and test/unit/contract.test.ts compares the two. Rows
// are defined in native/core/rows.h; a row's names here are indices of its 32-bit words.

// OpenedRow: a stream connection that has been opened.
export const openedConnection = 0;
export const openedBucket = 1;
export const openedFlowId = 2;
export const openedHashType = 3;
export const openedFromKernel = 4;
export const openedWords = 8;

// ClosedRow: a stream connection that has been closed. The error is -errno; 0: an orderly end.
export const closedConnection = 0;
export const closedError = 1;
export const closedWords = 2;

// CompletedRow: the answer to outputTaken or outputAcknowledged.
export const completedToken = 0;
export const completedFlags = 1;
export const completedWords = 2;
/** Flag: the output was taken or acknowledged before the connection ended. */
export const completedDone = 1;
/** Flag: nothing refers to the sent memory any longer. */
export const completedReusable = 2;

// SplicedRow: what has happened to two spliced connections. Counts of bytes have two words each.
export const splicedToken = 0;
/** An index of spliceEventNames. */
export const splicedEvent = 1;
/** The connection that the event concerns; 0: both. */
export const splicedConnection = 2;
/** -errno of 'error'. */
export const splicedError = 3;
export const splicedForth = 4;
export const splicedBack = 6;
export const splicedWords = 8;
/** enum SpliceEvent of native/core/rows.h. */
export const spliceEventNames = [
  'end',
  'error',
  'closed',
  'idle',
  'max',
  'unspliced',
  'halfEnd',
] as const;

// TurnRow: the numbers of rows that a turn reports.
export const turnOpened = 0;
export const turnInputs = 1;
export const turnClosed = 2;
export const turnCompleted = 3;
export const turnSpliced = 4;
export const turnWords = 5;

// InputRow: input of a stream connection.
export const inputConnection = 0;
export const inputOffset = 1;
export const inputLength = 2;
export const inputFlags = 3;
export const inputBucket = 4;
export const inputConsumed = 5;
export const inputNeeded = 6;
export const inputWords = 8;
/** Flag: the peer has closed its side. */
export const inputEnded = 1;
/** The value of inputConsumed before JavaScript writes it: everything is consumed. */
export const inputUntouched = 0xffffffff;

// OutputRow and ReplyRow: output of a stream connection, or a datagram to send.
export const outputTo = 0;
export const outputSource = 1;
export const outputOffset = 2;
export const outputLength = 3;
export const outputWords = 4;
// Sources of an OutputRow that always exist, and commands in the place of a source.
export const outputInSlab = 0;
export const outputOutSlab = 1;
export const outputEnd = 0xffffffff;
export const outputDestroy = 0xfffffffe;
export const outputTaken = 0xfffffffd;
export const outputAcknowledged = 0xfffffffc;
// Sources of a ReplyRow: it answers a row of the batch, or leaves through a connected socket.
export const replyInSlab = 0;
export const replyOutSlab = 1;
export const replyOutSlabConnected = 2;
/** It leaves through an endpoint of the server, and has a TargetHead in front of its bytes. */
export const replyOutSlabTarget = 3;
// TargetHead. `targetPeer` and `targetSource` are in bytes: what native.parseAddress() returns.
export const targetPeer = 0;
export const targetSource = 24;
export const targetPort = 12;
export const targetFlowId = 13;
/** 0: no flow is given. */
export const targetHashType = 14;
/** Bytes of a TargetHead. */
export const targetSize = 64;

// PendingRow: an accepted connection that becomes a socket of Node.
export const pendingBucket = 0;
export const pendingFlowId = 1;
export const pendingHashType = 2;
export const pendingFromKernel = 3;
export const pendingWords = 4;

// DatagramRow: a received datagram.
export const datagramOffset = 0;
export const datagramLength = 1;
export const datagramFlags = 2;
export const datagramBucket = 3;
export const datagramFlowId = 4;
export const datagramHashType = 5;
/** The connected socket that received it; 0: a bound one. */
export const datagramSocket = 6;
/** Where the bound one listens: an index of the server's UDP addresses. */
export const datagramEndpoint = 7;
export const datagramWords = 8;
/** Flag: longer than a cell, and cut. */
export const datagramTruncated = 1;
/** Most datagrams of one batch: cells of the input slab, and rows. */
export const datagramBatch = 64;

/** Most bytes of a datagram: of UDP over IPv4. */
export const largestDatagram = 65_507;

/** Bytes of the slab that a read of a stream connection needs beyond the largest request. */
export const streamReadSize = 16_384;
/** How many low bits of a connection's id are its slot. */
export const connectionSlotBits = 20;

/** OwnerLock: the bit of the word that is set while threads sleep. Tokens are smaller. */
export const lockContended = 0x20000000;

/** M_HASHTYPE_*, as IP_FLOWTYPE reports them. */
export const hashTypeNumber = {
  none: 0,
  ipv4: 129,
  'tcp-ipv4': 130,
  ipv6: 131,
  'tcp-ipv6': 132,
  'ipv6-ex': 133,
  'tcp-ipv6-ex': 134,
  'udp-ipv4': 135,
  'udp-ipv4-ex': 136,
  'udp-ipv6': 137,
  'udp-ipv6-ex': 138,
  opaque: 63,
  'opaque-hash': 191,
} as const;
/** Bit of a hash type (M_HASHTYPE_INNER): the hash is that of the inner headers. */
export const hashTypeInner = 0x40;

/** Bytes of an RSS key. */
export const rssKeySize = 40;
/** Most bits of an RSS configuration: 128 buckets. */
export const rssMaxBits = 7;
/** The largest CPU number. */
export const maxCpu = 65_535;

/** Fields of BucketCounters (native/core/counters.h), in order. */
export const counterNames = [
  'accepted',
  'served',
  'handedOff',
  'inboxFull',
  'misdirected',
  'bytesIn',
  'bytesOut',
  'datagramsIn',
  'datagramsOut',
  'datagramsForwarded',
  'datagramsTruncated',
  'datagramsDropped',
  'requests',
  'closed',
  'acceptPauses',
  'acceptPausedUs',
  'mispredicted',
  'withoutId',
  'placementSamples',
  'misplaced',
  'connectedDrops',
  'handshakes',
  'handshakesFailed',
  'promotedDrops',
] as const;
/** Doubles of one bucket's counters. */
export const counterStride = 24;

/** Why rows are refused (native/core/refusal.h). An engine's check() returns the index plus 1. */
export const refusalNames = [
  'unknownConnection',
  'endedConnection',
  'unknownSource',
  'outOfRange',
  'splicedConnection',
  'notInBatch',
  'unreserved',
  'overconsumed',
  'badMark',
] as const;

/** Fields of PromotionCounts (native/core/promotion_counts.h), in order. */
export const promotionNames = [
  'now',
  'ever',
  'idle',
  'evicted',
  'withoutDescriptor',
  'withoutAddress',
  'withoutRoom',
  'strays',
] as const;

/** enum Steering of native/steering/steering.h. */
export const steeringNumber = {
  'listen-bucket': 0,
  'reuseport-lb': 1,
  'bpf-toeplitz': 2,
  'bpf-cpu': 3,
  single: 4,
} as const;

/** enum SocketOption of native/platform/platform.h. capabilities() tries each. */
export const optionNumber = {
  /** IP_BINDANY, on Linux IP_TRANSPARENT: privileged. */
  bindAny: 0,
  /** IP_BINDMULTI: FreeBSD 11 to 13. */
  bindMulti: 1,
  /** IP_RSS_LISTEN_BUCKET: FreeBSD 11 to 13 with options RSS. */
  listenBucket: 2,
  reusePort: 3,
  /** SO_REUSEPORT_LB: FreeBSD 12 and later. */
  reusePortLb: 4,
  /** TCP_REUSPORT_LB_NUMA: FreeBSD 13 and later. */
  reusePortLbNuma: 5,
  /** IP_RECVFLOWID: FreeBSD 11 and later. */
  recvFlowId: 6,
  /** IP_RECVRSSBUCKETID: FreeBSD with options RSS. */
  recvRssBucketId: 7,
  /** IP_RECVDSTADDR, on Linux IP_PKTINFO. */
  recvDestination: 8,
} as const;

/** enum ZeroCopy of native/engine/stream_engine.h. */
export const zeroCopyNumber = { never: 0, auto: 1, always: 2 } as const;
