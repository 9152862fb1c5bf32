// Errors have the shape of Node's errors.
import assert from 'node:assert/strict';
import os from 'node:os';
import { describe, it } from 'node:test';

import { affinity, capabilities, ShmSegment, socketOptions } from 'freebsd-rss';
import { OwnerLock, waitOn, wake } from 'freebsd-rss/shm';
import { defineWorker, perConnection, perDatagram, serveHttp } from 'freebsd-rss/worker';

import { abortError, systemError } from '../../lib/errors.js';
import { restartDelay } from '../../lib/server/worker-thread.js';

const { errno } = os.constants;

describe('system errors', () => {
  it('carry code, errno, syscall and the address or descriptor they concern', () => {
    const error = systemError(
      { errno: -errno.EADDRINUSE, syscall: 'bind', option: 'IP_BINDMULTI' },
      { address: '::1', port: 80, bucket: 3 },
    );
    assert.equal(
      error.message,
      'bind EADDRINUSE: address already in use (IP_BINDMULTI, [::1]:80, bucket 3)',
    );
    const { code, syscall, option, address, port, bucket } = error;
    assert.deepEqual(
      { code, errno: error.errno, syscall, option, address, port, bucket },
      {
        code: 'EADDRINUSE',
        errno: -errno.EADDRINUSE,
        syscall: 'bind',
        option: 'IP_BINDMULTI',
        address: '::1',
        port: 80,
        bucket: 3,
      },
    );
  });

  it('name the option that a kernel lacks', () => {
    const { bindMulti } = capabilities();
    if (bindMulti.available) return;
    assert.throws(() => socketOptions.bindMulti.set(0, true), { option: /BINDMULTI|SO_/ } as never);
  });

  it('abort as Node does', () => {
    const error = abortError(AbortSignal.abort('why'));
    assert.deepEqual(
      [error.name, (error as never)['code'], error.cause],
      ['AbortError', 'ABORT_ERR', 'why'],
    );
  });
});

describe('affinity', () => {
  it('takes lists and numbers, and names wrong values', () => {
    assert.equal(affinity.format([3, 1, 2, 300, 2]), '1-3,300');
    assert.deepEqual(affinity.parse('0-2,300'), [0, 1, 2, 300]);
    assert.throws(() => affinity.parse('1-'), { code: 'EINVAL', message: /"1-"/ });
    assert.throws(() => affinity.set([]), { code: 'EINVAL' });
    assert.throws(() => affinity.set([-1]), { code: 'ERR_OUT_OF_RANGE' });
    assert.throws(() => affinity.set(5 as never), { code: 'ERR_INVALID_ARG_TYPE' });
    assert.throws(() => affinity.set([60_000]), { code: 'EINVAL', message: /60000/ });
  });
});

describe('defineWorker', () => {
  it('refuses unknown and wrong members', () => {
    assert.throws(
      () => defineWorker({ conection() {} } as never),
      /unknown option "conection".*"connection"/,
    );
    assert.throws(() => defineWorker({ stop: 3 as never }), { code: 'ERR_INVALID_ARG_TYPE' });
    const data = () => undefined;
    assert.throws(() => defineWorker({ stream: { data }, connection() {} }), /not both/);
    assert.throws(() => defineWorker({ stream: {} as never }), /"data" must be a function/);
    assert.throws(
      () => defineWorker({ stream: { data, opened() {} } as never }),
      /unknown option "opened" in "stream".*"open"/,
    );
    assert.throws(() => perConnection({} as never), /"data" must be a function/);
    assert.throws(() => perDatagram(3 as never), /"handler" must be a function/);
    assert.throws(() => serveHttp({} as never), { code: 'ERR_INVALID_ARG_TYPE' });
  });
});

describe('ShmSegment', () => {
  it('closes once, and is found by id while it is open', () => {
    const segment = ShmSegment.create({ size: 4096 });
    const other = ShmSegment.open(segment.id);
    new Uint8Array(segment.buffer)[7] = 42;
    assert.equal(new Uint8Array(other.buffer)[7], 42);
    segment.close();
    segment.close();
    assert.equal(segment.closed, true);
    assert.throws(() => segment.buffer, { code: 'ERR_RSS_CLOSED' });
    const view = new Uint8Array(other.buffer);
    assert.equal(view[7], 42);
    other.close();
    assert.equal(view.length, 0, 'views are detached, not left dangling');
    assert.throws(() => ShmSegment.create({ size: 0 }), { code: 'ERR_OUT_OF_RANGE' });
    assert.throws(() => ShmSegment.open(4_000_000), { code: 'ENOENT' });
  });

  it('waits on words', () => {
    using segment = ShmSegment.create({ size: 4096 });
    const words = new Int32Array(segment.buffer);
    assert.equal(waitOn(words, 0, 1, 1000), true);
    assert.equal(waitOn(words, 0, 0, 10), false);
    wake(words, 0, 1);
    assert.throws(() => waitOn(words, 1024, 0, 10), { code: 'ERR_OUT_OF_RANGE' });
    assert.throws(() => waitOn(words, 0, 0, 0), { code: 'ERR_OUT_OF_RANGE' });
  });
});

describe('OwnerLock', () => {
  it('names its owner, and checks its arguments', () => {
    using segment = ShmSegment.create({ size: 4096 });
    const words = new Int32Array(segment.buffer);
    const lock = new OwnerLock(words, 3, 7);
    assert.equal(lock.isHeldBy(7), false);
    lock.acquire();
    assert.equal(lock.isHeldBy(7), true);
    assert.equal(new OwnerLock(words, 3, 8).isHeldBy(8), false);
    lock.release();
    assert.equal(words[3], 0);
    lock.acquire();
    new OwnerLock(words, 3, 8).break();
    new OwnerLock(words, 3, 8).acquire();
    assert.equal(lock.isHeldBy(8), true);
    assert.throws(() => new OwnerLock([] as never, 0, 1), { code: 'ERR_INVALID_ARG_TYPE' });
    assert.throws(() => new OwnerLock(words, 1024, 1), { code: 'ERR_OUT_OF_RANGE' });
    assert.throws(() => new OwnerLock(words, 0, 0), { code: 'ERR_OUT_OF_RANGE' });
  });
});

it('a worker that dies repeatedly is restarted at growing intervals', () => {
  assert.deepEqual([1, 2, 3, 4, 20].map(restartDelay), [0, 100, 200, 400, 5000]);
});
