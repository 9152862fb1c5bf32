// The pieces by themselves, and every wrong way to treat a descriptor: errors, never an abort.
import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import { describe, it } from 'node:test';

import { openListener, socketOptions } from 'freebsd-rss';

import { collectGarbage } from '../helpers/garbage.js';
import { datagram, openDescriptors, assertNoLeak } from '../helpers/net.js';
import { counterStride, datagramBatch, promotionNames, refusalNames } from '../../lib/contract.js';
import { native } from '../../lib/native.js';
import { numberOf } from '../../lib/socket/listen.js';

const host = '127.0.0.1';

describe('openListener', () => {
  it('feeds net.Server.listen({ fd })', async () => {
    const listener = openListener({ host });
    const { port } = listener;
    const server = net.createServer((socket) => socket.end('net'));
    server.listen(listener.release());
    await once(server, 'listening');
    const socket = net.connect(port, host);
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    assert.equal(chunk.toString(), 'net');
    server.close();
  });

  it('feeds http.Server.listen({ fd })', async () => {
    const listener = openListener({ host });
    const { port } = listener;
    const server = http.createServer((_, response) => response.end('http'));
    server.listen(listener.release());
    await once(server, 'listening');
    const response = await fetch(`http://${host}:${port}/`);
    assert.equal(await response.text(), 'http');
    server.close();
    server.closeAllConnections();
  });

  it('feeds a dgram socket', async () => {
    const listener = openListener({ protocol: 'udp', host });
    const { port } = listener;
    const socket = dgram.createSocket('udp4');
    socket.on('message', (message, { port: to, address }) => socket.send(message, to, address));
    listener.bindTo(socket);
    const answer = await datagram({ host, port, localAddress: host }, 'ping');
    assert.equal(answer.text, 'ping');
    socket.close();
  });

  it('says where it listens', () => {
    using listener = openListener({ host, port: 0 });
    assert.ok(listener.port > 0);
    assert.deepEqual([listener.host, listener.family, listener.protocol], [host, 4, 'tcp']);
    assert.equal(listener.closed, false);
  });

  it('refuses bad options, and names address and port of failures', () => {
    assert.throws(() => openListener({ hots: host } as never), /unknown option "hots".*"host"/);
    assert.throws(() => openListener({ steering: 'listen-bucket', bucket: 128 }), {
      code: 'ERR_OUT_OF_RANGE',
    });
    assert.throws(() => openListener({ bucket: 3 }), /go together/);
    assert.throws(() => openListener({ steering: 'listen-bucket' }), /go together/);
    assert.throws(() => openListener({ steering: 'single' as never }), /"steering" must be one of/);
    using taken = openListener({ host });
    assert.throws(() => openListener({ host, port: taken.port }), {
      code: 'EADDRINUSE',
      address: host,
      port: taken.port,
    });
    assert.throws(() => openListener({ host: '192.0.2.1' }), {
      code: 'EADDRNOTAVAIL',
      syscall: 'bind',
      address: '192.0.2.1',
    });
  });

  it('closes a listener that was forgotten', async () => {
    const before = openDescriptors();
    for (let i = 0; i < 50; i++) openListener({ host });
    for (let i = 0; i < 20 && openDescriptors() > before; i++) {
      collectGarbage();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await assertNoLeak(before);
  });
});

describe('wrong uses of a descriptor are errors', () => {
  it('close() after release() leaves the new owner alone', async () => {
    const listener = openListener({ host });
    const { port } = listener;
    const server = net.createServer((socket) => socket.end('alive'));
    server.listen(listener.release());
    await once(server, 'listening');
    listener.close();
    listener[Symbol.dispose]();
    const [chunk] = (await once(net.connect(port, host), 'data')) as [Buffer];
    assert.equal(chunk.toString(), 'alive');
    server.close();
  });

  it('releasing twice, and using what is released or closed', () => {
    const listener = openListener({ host });
    const { fd } = listener.release();
    assert.throws(() => listener.release(), { code: 'ERR_RSS_RELEASED' });
    assert.throws(() => socketOptions.reusePort.get(listener), { code: 'ERR_RSS_RELEASED' });
    new net.Socket({ fd }).destroy();
    const closed = openListener({ host });
    closed.close();
    closed.close();
    assert.throws(() => closed.release(), { code: 'ERR_RSS_CLOSED' });
    assert.throws(() => socketOptions.reusePort.get(closed), { code: 'ERR_RSS_CLOSED' });
  });

  it('one descriptor in two servers of one loop', async () => {
    const listener = openListener({ host });
    const { fd } = listener.release();
    const first = net.createServer();
    first.listen({ fd });
    await once(first, 'listening');
    const second = net.createServer();
    second.listen({ fd });
    const [error] = (await once(second, 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'EEXIST');
    first.close();
  });

  it('a UDP descriptor for net.Server, a TCP one for dgram', async () => {
    const udp = openListener({ protocol: 'udp', host });
    const server = net.createServer();
    server.listen(udp.release());
    const [error] = (await once(server, 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'EINVAL');
    const tcp = openListener({ host });
    const socket = dgram.createSocket('udp4');
    const { fd } = tcp.release();
    assert.throws(() => socket.bind({ fd }), { code: 'ERR_INVALID_FD_TYPE' });
    socket.close();
  });

  it('a dgram socket of the other family', () => {
    using listener = openListener({ protocol: 'udp', host });
    const socket = dgram.createSocket('udp6');
    assert.throws(() => listener.bindTo(socket), {
      code: 'ERR_INVALID_ARG_VALUE',
      message: 'a udp6 socket cannot have a udp4 descriptor',
    });
    socket.close();
    using tcp = openListener({ host });
    assert.throws(() => tcp.bindTo({} as never), { code: 'ERR_INVALID_ARG_VALUE' });
    const bound = dgram.createSocket('udp4').bind(0, host);
    assert.throws(() => listener.bindTo(bound), { code: 'ERR_SOCKET_ALREADY_BOUND' });
    bound.close();
    assert.equal(listener.closed, false);
    numberOf(listener); // still its own
  });

  it('adopting a closed, unsuitable or foreign descriptor', () => {
    const table = native.createBucketTable(native.virtualRssConfig([0], 0, ''), [0], 1, 0, false);
    const port = new native.WorkerEngine(
      {
        table,
        worker: 0,
        defaultBucket: 0,
        streams: undefined,
        handOff: false,
        handOffUnhashed: true,
        forward: false,
        flowInfo: true,
        countMisdirected: true,
        ...{ promoteAfter: 0, promoteLimit: 0, promoteIdle: 0 },
        counters: new Float64Array(counterStride),
        refusals: new Float64Array(refusalNames.length),
        promotions: new Float64Array(promotionNames.length),
        stride: 128,
        cellSize: 128,
      },
      {
        slab: new Uint8Array(128 * datagramBatch),
        replySlab: new Uint8Array(128),
        connections: new Uint32Array(4),
        datagrams: new Uint32Array(8 * datagramBatch),
        replies: new Uint32Array(4),
        received: new Uint32Array(1),
        unsent: new Uint32Array(1),
      },
      () => undefined,
      () => undefined,
      () => undefined,
      () => undefined,
    );
    const before = openDescriptors();
    using tcp = openListener({ host });
    using udp = openListener({ protocol: 'udp', host });
    const codes = [
      port.addListener(numberOf(tcp) + 1000),
      port.addListener(-1),
      port.addListener(numberOf(udp)),
      port.addDatagramSocket(numberOf(tcp), 0, true),
      port.addListener(0),
    ].map((failure) => (failure === undefined ? 'adopted' : (failure.detail ?? failure.syscall)));
    assert.deepEqual(codes.slice(2, 4), ['not a TCP socket', 'not a UDP socket']);
    assert.ok(codes.every((code) => code !== 'adopted'));
    assert.equal(port.take(0), -os.constants.errno.EBADF);
    port.close();
    port.close();
    assert.equal(port.start()?.detail, 'the worker is closed');
    assert.equal(port.addListener(numberOf(tcp))?.detail, 'the worker is closed');
    assert.equal(openDescriptors(), before + 2);
    native.destroyBucketTable(table);
  });

  it('options of no socket, of a closed one, and of the wrong kind', () => {
    const { reusePort, listenBucket, flow } = socketOptions;
    assert.throws(() => reusePort.get(-1), { code: 'ERR_OUT_OF_RANGE' });
    assert.throws(() => reusePort.get('3' as never), { code: 'ERR_INVALID_ARG_TYPE' });
    assert.throws(() => reusePort.set(99_999, true), {
      code: 'EBADF',
      syscall: 'setsockopt',
      fd: 99_999,
    });
    assert.throws(() => reusePort.set(0, 1 as never), { code: 'ERR_INVALID_ARG_TYPE' });
    assert.throws(() => listenBucket.set(0, 128), { code: 'ERR_OUT_OF_RANGE' });
    assert.throws(() => flow(99_999), { code: 'EBADF', fd: 99_999 });
    using unconnected = openListener({ host });
    assert.throws(() => flow(unconnected), { code: 'ENOTCONN' });
  });
});
