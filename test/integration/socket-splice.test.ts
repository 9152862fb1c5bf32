// spliceSockets(): pairs of net.Socket, with what they have read and written before.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { describe, it } from 'node:test';

import { createServer, type RssServer } from 'freebsd-rss';

import type { SocketSpliceData, SocketSpliceReport } from '../fixtures/socket-splice-worker.js';
import { assertNoLeak, inParallel, openDescriptors, portOf } from '../helpers/net.js';
import { read, text } from '../helpers/reading.js';
import { times } from '../helpers/repeat.js';
import { closeOpened, connect, host, listen, opened } from '../helpers/splice-ends.js';
import { soon, until } from '../helpers/wait.js';

const mebibyte = 2 ** 20;

/** A server of fixtures/socket-splice-worker.ts, its target, and what it has reported. */
class Splicer {
  readonly server: RssServer;
  readonly reports: SocketSpliceReport[] = [];
  readonly #targets: net.Socket[];

  private constructor(data: SocketSpliceData, targets: net.Socket[]) {
    this.#targets = targets;
    this.server = createServer({
      worker: new URL('../fixtures/socket-splice-worker.js', import.meta.url),
      workerData: data,
      workers: 1,
      tcp: { host },
    });
    this.server.on('message', (report) => this.reports.push(report as SocketSpliceReport));
  }

  static async start(data: Omit<SocketSpliceData, 'target'> = {}): Promise<Splicer> {
    const targets: net.Socket[] = [];
    const target = await listen((socket) => targets.push(socket));
    const splicer = new Splicer({ target, ...data }, targets);
    await splicer.server.listen();
    opened.push(() => splicer.server.close({ timeout: 0 }));
    return splicer;
  }

  async target(): Promise<net.Socket> {
    await until('a target', () => this.#targets.length > 0);
    return this.#targets.shift()!;
  }

  async next(): Promise<SocketSpliceReport> {
    await until('a report', () => this.reports.length > 0);
    return this.reports.shift()!;
  }
}

describe('spliced sockets', () => {
  it('every byte, behind what was written, and with what was read before', async () => {
    const before = 8 * mebibyte;
    const splicer = await Splicer.start({ before });
    const client = await connect(splicer.server);
    const forth = randomBytes(8 * mebibyte);
    const back = randomBytes(8 * mebibyte);
    client.write('a line\nand the rest,');
    client.end(forth);
    const target = await splicer.target();
    target.end(back);
    // Not toArray(): it destroys a socket at the end of its input, before the output is written.
    const both = [read(target, Infinity), read(client, Infinity)] as const;
    const [atTarget, atClient] = await Promise.all(both);
    const expected = [Buffer.alloc(before, 'b'), Buffer.from('A LINE\nand the rest,'), forth];
    assert.ok(atTarget.equals(Buffer.concat(expected)));
    assert.ok(atClient.equals(back));
    const end = await splicer.next();
    assert.ok('reason' in end);
    assert.deepEqual([end.reason, end.role], ['end', undefined]);
    assert.ok(end.bytes[0]! >= 'and the rest,'.length && end.bytes[1]! <= back.length);
    await until('the client is counted as closed', () => {
      const { served, closed } = splicer.server.stats().total;
      return served === 1 && closed === 1;
    });
    const { bytesIn } = splicer.server.stats().total;
    const received = forth.length + back.length + 'a line\nand the rest,'.length;
    assert.ok(bytesIn <= received && bytesIn >= received - back.length, `${bytesIn}`);
  });

  it('many at once; descriptors are given back', async () => {
    const descriptors = openDescriptors();
    const splicer = await Splicer.start();
    const count = times(40, 400);
    await inParallel(count, 1, async () => {
      const client = await connect(splicer.server);
      client.write('x\nhello');
      const target = await splicer.target();
      assert.equal(await text(target, 7), 'X\nhello');
      target.end('bye');
      assert.equal(await text(client, 4), 'bye');
      client.end();
      assert.deepEqual(await splicer.next(), {
        reason: 'end',
        role: undefined,
        code: undefined,
        bytes: [5, 3],
      });
    });
    assert.equal(splicer.server.stats().total.closed, count);
    await closeOpened();
    await assertNoLeak(descriptors);
  });

  it('a reset of one resets the other', async () => {
    const splicer = await Splicer.start();
    const client = await connect(splicer.server);
    client.write('x\ny');
    const target = await splicer.target();
    assert.equal(await text(target, 3), 'X\ny');
    const failed = once(client, 'error', soon());
    target.resetAndDestroy();
    client.resume();
    const [{ code }] = (await failed) as [NodeJS.ErrnoException];
    assert.equal(code, 'ECONNRESET');
    const end = await splicer.next();
    assert.ok('reason' in end);
    assert.deepEqual([end.reason, end.role, end.code], ['error', 'target', 'ECONNRESET']);
  });

  for (const reason of ['idle', 'max'] as const)
    it(`${reason}: two sockets go on`, async () => {
      const options = reason === 'idle' ? { idle: 50 } : { max: 5 };
      const splicer = await Splicer.start({ options });
      const client = await connect(splicer.server);
      client.write('x\n12345');
      const target = await splicer.target();
      assert.equal(await text(target, 7), 'X\n12345');
      const end = await splicer.next();
      assert.ok('reason' in end);
      assert.deepEqual([end.reason, end.bytes], [reason, [5, 0]]);
      client.write('123');
      assert.equal(await text(client, 9), '0 sent 3\n');
      target.write('12');
      assert.equal(await text(target, 9), '1 sent 2\n');
      client.destroy();
      await until('the client is counted as closed', () => {
        const { closed } = splicer.server.stats().total;
        return closed === 1;
      });
    });

  it('a target that refuses: rejects with its error', async () => {
    const server = createServer({
      worker: new URL('../fixtures/socket-splice-worker.js', import.meta.url),
      workerData: { target: 1 } satisfies SocketSpliceData,
      workers: 1,
      tcp: { host },
    });
    await server.listen();
    const rejected = once(server, 'message', soon());
    const client = net.connect(portOf(server), host);
    client.write('x\n');
    await once(client, 'close', soon());
    assert.deepEqual((await rejected)[0], { rejected: 'ECONNREFUSED' });
    await server.close({ timeout: 0 });
  });

  it('close() ends them', async () => {
    const splicer = await Splicer.start();
    const client = await connect(splicer.server);
    client.write('x\ny');
    const target = await splicer.target();
    assert.equal(await text(target, 3), 'X\ny');
    const closed = splicer.server.close();
    assert.equal(await text(client, 1), '');
    client.destroy();
    target.destroy();
    await closed;
  });

  it('wrong arguments', async () => {
    const splicer = await Splicer.start();
    const client = await connect(splicer.server);
    client.write('mistakes\n');
    assert.deepEqual(await splicer.next(), {
      mistakes: [
        'ERR_INVALID_ARG_VALUE',
        'ERR_INVALID_ARG_TYPE',
        'ERR_OUT_OF_RANGE',
        'ENOTCONN',
        'ERR_INVALID_ARG_VALUE',
      ],
    });
  });
});
