// Lists of a worker's connections take bounded work for each page, however many there are.
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { it } from 'node:test';

import { connectionPage, looksPerPage } from '../../lib/worker/connections.js';
import { NodeSockets } from '../../lib/worker/accept.js';
import type { WorkerEngine } from '../../lib/native.js';
import type { Streams } from '../../lib/worker/streams.js';

const many = 100_000;

/** Sockets without a kernel, and an engine that counts how often it is asked for facts. */
function worker() {
  const engine = {
    looks: 0,
    facts: (fd: number) => (engine.looks++, { fd }),
    hold() {},
    ended() {},
  };
  const sockets = new NodeSockets(
    engine as unknown as WorkerEngine,
    new Uint32Array(0),
    new Float64Array(64),
    {},
    () => undefined,
  );
  const open = (fd: number) => {
    const socket = Object.assign(new EventEmitter(), {
      ...{ bytesRead: 0, bytesWritten: 0, writableLength: 0 },
      _handle: { fd },
    });
    sockets.adopt(socket as unknown as Socket, 0, true);
    return socket;
  };
  /** The descriptors of a page, from its facts. */
  const page = (after: number, streams?: Streams) => {
    const fds: number[] = [];
    const before = engine.looks;
    engine.facts = (fd: number) => (engine.looks++, fds.push(fd), { fd });
    const { next } = connectionPage(0, after, streams, sockets, [0]);
    return { fds, next, looks: engine.looks - before };
  };
  return { sockets, open, page };
}

it('a page of sockets looks at 500 of 100,000', () => {
  const { sockets, open, page } = worker();
  for (let fd = 0; fd < many; fd++) open(fd);
  assert.equal(sockets.size, many);
  const seen: number[] = [];
  let pages = 0;
  for (let after: number | null = 0; after !== null; pages++) {
    const one = page(after);
    assert.ok(one.looks <= looksPerPage);
    seen.push(...one.fds);
    after = one.next;
  }
  assert.equal(pages, many / looksPerPage);
  assert.deepEqual(seen, [...Array(many).keys()]);
});

it('sockets that end between two pages hide no others, and their places are used again', () => {
  const { sockets, open, page } = worker();
  const all = Array.from({ length: 3 * looksPerPage }, (_, fd) => open(fd));
  const first = page(0);
  for (const socket of all.slice(0, looksPerPage)) socket.emit('close');
  const second = page(first.next!);
  assert.equal(second.fds[0], looksPerPage);
  assert.equal(sockets.size, 2 * looksPerPage);
  for (let fd = 0; fd < looksPerPage; fd++) open(many + fd);
  assert.equal(page(first.next! + looksPerPage).next, null, 'the table has not grown');
});

it('a page of stream connections asks the engine for 500 slots', () => {
  const asked: [slot: number, count: number][] = [];
  const list = (slot: number, count: number) => {
    asked.push([slot, count]);
    const next = slot + count;
    return { rows: [], next: next < many ? next : -1 };
  };
  const { page } = worker();
  let pages = 0;
  for (let after: number | null = 0; after !== null; pages++)
    after = page(after, { engine: { list } } as unknown as Streams).next;
  assert.ok(asked.every(([, count]) => count === looksPerPage));
  assert.equal(asked.length, many / looksPerPage);
  assert.equal(pages, asked.length + 1, 'the last page has the sockets');
});
