// When a server warns that the kernel drops datagrams or connection attempts.
import assert from 'node:assert/strict';
import { it } from 'node:test';

import type { ServerStats } from 'freebsd-rss';

import { DropWatch } from '../../lib/server/drop-watch.js';

const socket = (protocol: 'tcp' | 'udp', workerIndex: number, dropped: number | undefined) => ({
  protocol,
  address: '127.0.0.1',
  port: 7007,
  workerIndex,
  bucket: undefined,
  receiveBuffer: 4096,
  sendBuffer: 4096,
  waiting: undefined,
  dropped,
});

/**
 * Of two UDP sockets, a listener, and what the second of two workers has connected and reads of
 * promoted flows.
 */
function stats(
  first: number,
  second: number,
  listener: number,
  connected = 0,
  promoted = 0,
): ServerStats {
  const datagrams = first + second + connected + promoted;
  return {
    sockets: [socket('udp', 0, first), socket('udp', 1, second), socket('tcp', 0, listener)],
    kernelDrops: { of: 'server', datagrams, connections: listener },
    workers: [
      { connectedDrops: 0, promotedDrops: 0 },
      { connectedDrops: connected, promotedDrops: promoted },
    ],
  } as unknown as ServerStats;
}

it('warns when losses begin, and names the socket that has lost most', () => {
  const watch = new DropWatch();
  assert.deepEqual(watch.look(stats(5, 5, 5), 0), [], 'what was lost before is no news');
  assert.deepEqual(watch.look(stats(5, 5, 5), 1000), []);
  assert.deepEqual(watch.look(stats(6, 9, 5), 2000), [
    'the kernel has dropped 5 datagrams: the receive buffer (4096 bytes) of udp 127.0.0.1 ' +
      'port 7007, worker 1, was full',
  ]);
});

it('warns once while losses go on, of each protocol, and again after a minute without', () => {
  const watch = new DropWatch();
  watch.look(stats(0, 0, 0), 0);
  assert.equal(watch.look(stats(1, 0, 0), 1000).length, 1);
  assert.equal(watch.look(stats(2, 0, 0), 50_000).length, 0);
  assert.deepEqual(watch.look(stats(3, 0, 2), 60_000), [
    'the kernel has dropped 2 connection attempts: the accept queue of tcp 127.0.0.1 port 7007, ' +
      'worker 0, was full',
  ]);
  assert.equal(watch.look(stats(4, 0, 2), 119_000).length, 0);
  assert.equal(watch.look(stats(5, 0, 2), 180_000).length, 1);
});

it('names the worker whose connected sockets were full', () => {
  const watch = new DropWatch();
  watch.look(stats(1, 0, 0, 1), 0);
  assert.deepEqual(watch.look(stats(1, 0, 0, 4), 1000), [
    'the kernel has dropped 3 datagrams: UDP sockets that worker 1 has connected were full',
  ]);
});

it('names the worker whose promoted flows were lost', () => {
  const watch = new DropWatch();
  watch.look(stats(1, 0, 0, 1, 1), 0);
  assert.deepEqual(watch.look(stats(1, 0, 0, 2, 3), 1000), [
    'the kernel has dropped 3 datagrams: sockets of promoted flows of worker 1 were full',
  ]);
});

it('says so where the kernel counts for the whole host', () => {
  const host = (datagrams: number) =>
    ({
      sockets: [socket('udp', 0, undefined)],
      kernelDrops: { of: 'host', datagrams, connections: datagrams },
    }) as unknown as ServerStats;
  const watch = new DropWatch();
  watch.look(host(0), 0);
  assert.deepEqual(watch.look(host(7), 1000), [
    'the kernel has dropped 7 datagrams: sockets of this host were full, perhaps of other programs',
  ]);
});
