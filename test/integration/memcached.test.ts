// The example server as its users meet it: a process, with clients of every kind at once.
import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { snapshot } from '../../cli/admin-socket.js';
import { skipWithout } from '../helpers/features.js';
import { freeUdpPort, RawClient, serveExample } from '../helpers/memcached.js';
import { datagram, inParallel, randomLoopback } from '../helpers/net.js';
import { soon, until } from '../helpers/wait.js';

const main = fileURLToPath(new URL('../../examples/memcached/main.js', import.meta.url));

// Two at a time: some wait for the clock.
describe('the memcached example', { concurrency: 2 }, () => {
  it('says what it serves and how, and ends with 0', async () => {
    const server = await serveExample('-t', '2', '-U', '0');
    assert.match(server.output(), /^steering: +[a-z-]+ \(/m);
    assert.match(server.output(), /^map: +0:\d+/m);
    assert.match(server.output(), /^worker 1: CPU \d+, buckets/m);
    assert.match(server.output(), new RegExp(`^serving: +tcp 127.0.0.1:${server.port}$`, 'm'));
    const client = new RawClient(server.port);
    assert.match(await client.ask('version\r\n'), /^VERSION 1\.6/);
    assert.equal(await server.stop(), 0, 'an idle connection does not keep it');
    client.close();
  });

  it('explains a wrong command line with status 64', () => {
    const { status, stderr } = spawnSync(process.execPath, [main, '-p', 'nine'], {
      encoding: 'utf8',
    });
    assert.equal(status, 64);
    assert.match(stderr, /^memcached: -p must be a number from -1 to 65535, not "nine"/);
    assert.equal(spawnSync(process.execPath, [main, '--help']).status, 0);
  });

  it('ends with 1 and the reason when the port is taken', async () => {
    const server = await serveExample('-t', '1');
    const { status, stderr } = spawnSync(process.execPath, [main, '-p', String(server.port)], {
      encoding: 'utf8',
    });
    assert.equal(status, 1);
    const [starts, error, ...more] = stderr.split('\n');
    assert.match(starts!, /^\d{4}-\S+Z info: process \d+ starts$/);
    assert.match(error!, /^\d{4}-\S+Z error: \w+ EADDRINUSE: .*127\.0\.0\.1:\d+\)$/);
    assert.deepEqual(more, ['']);
    await server.stop();
  });

  it('logs its life once, for syslog without a time', async () => {
    const server = await serveExample('-t', '2', '-o', 'syslog', '-c', '1');
    const [one, two] = [new RawClient(server.port), new RawClient(server.port)];
    await one.ask('get k\r\n');
    await until('the limit is logged', () => server.output().includes('further clients wait'));
    one.close();
    await two.ask('get k\r\n');
    two.close();
    const process = `process ${server.child.pid}`;
    assert.equal(await server.stop(), 0);
    assert.deepEqual(server.output().split('\n'), [
      `info: ${process} starts`,
      `info: ${process} serves with 2 workers`,
      'warning: 1 connections are open: further clients wait',
      `info: ${process} stops: SIGTERM`,
      `info: ${process} has stopped`,
      '',
    ]);
  });

  it('serves a Unix socket instead of the network', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'memcached-'));
    const file = path.join(folder, 'socket');
    const child = spawn(process.execPath, [main, '-s', file, '-a', '0600', '-t', '2'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await until('it serves', () => output.includes('serving:'), child);
    assert.match(output, new RegExp(`^serving: +unix ${file}$`, 'm'));
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const socket = net.connect(file);
    socket.write('set u 0 0 4\r\nunix\r\nget u\r\nquit\r\n');
    let answer = '';
    for await (const chunk of socket) answer += String(chunk);
    assert.equal(answer, 'STORED\r\nVALUE u 0 4\r\nunix\r\nEND\r\n');
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
    rmSync(folder, { recursive: true });
  });

  it('every key is seen on every connection', async () => {
    const server = await serveExample('-t', '2');
    const clients = Array.from({ length: 16 }, () => new RawClient(server.port));
    for (const [i, client] of clients.entries())
      assert.equal(
        await client.ask(`set key-${i} ${i} 0 2\r\nv${i.toString(16)}\r\n`),
        'STORED\r\n',
      );
    for (const client of clients)
      for (let i = 0; i < clients.length; i++)
        assert.equal(
          await client.ask(`get key-${i}\r\n`, 'END\r\n'),
          `VALUE key-${i} ${i} 2\r\nv${i.toString(16)}\r\nEND\r\n`,
        );
    const stats = await clients[0]!.ask('stats\r\n', 'END\r\n');
    assert.match(stats, /STAT curr_items 16\r\n/);
    assert.match(stats, /STAT cmd_get 256\r\n/);
    assert.match(stats, /STAT curr_connections 1[67]\r\n/);
    for (const client of clients) client.close();
    assert.equal(await server.stop(), 0);
  });

  it('2 workers set and get the same keys: no byte of another value, ever', async () => {
    const server = await serveExample('-t', '2', '-m', '8');
    const lengths = [1, 30, 700, 5000, 100_000];
    const lane = async (id: number) => {
      const client = new RawClient(server.port);
      for (let round = 0; round < 150; round++) {
        const key = `shared-${(round * 7 + id) % 5}`;
        if ((round + id) % 3 === 0) {
          const letter = String.fromCharCode(97 + ((round + id) % 26));
          const value = letter.repeat(lengths[(round + id) % lengths.length]!);
          assert.equal(
            await client.ask(`set ${key} 0 0 ${value.length}\r\n${value}\r\n`),
            'STORED\r\n',
          );
        } else {
          const answer = await client.ask(`get ${key}\r\n`, 'END\r\n');
          const match = /^VALUE \S+ 0 (\d+)\r\n([a-z]*)\r\nEND\r\n$/.exec(answer);
          if (answer === 'END\r\n') continue;
          assert.ok(match, answer.slice(0, 60));
          assert.equal(match[2]!.length, Number(match[1]));
          assert.match(match[2]!, /^(.)\1*$/);
        }
      }
      client.close();
    };
    await Promise.all(Array.from({ length: 12 }, (_, id) => lane(id)));
    assert.equal(await server.stop(), 0);
  });

  it('counters are incremented atomically across workers', async () => {
    const server = await serveExample('-t', '2');
    const first = new RawClient(server.port);
    await first.ask('set n 0 0 1\r\n0\r\n');
    await Promise.all(
      Array.from({ length: 6 }, async () => {
        const client = new RawClient(server.port);
        for (let i = 0; i < 200; i++) await client.ask('incr n 1\r\n');
        client.close();
      }),
    );
    assert.equal(await first.ask('get n\r\n', 'END\r\n'), 'VALUE n 0 4\r\n1200\r\nEND\r\n');
    first.close();
    await server.stop();
  });

  it('serves pipelined requests and 1 MiB values in small pieces', async () => {
    const server = await serveExample('-t', '1');
    const client = new RawClient(server.port);
    client.send('set a 0 0 1\r\nx\r\n' + 'get a\r\n'.repeat(5000) + 'version\r\n');
    const answers = await client.until('VERSION');
    assert.equal(answers.split('VALUE a 0 1\r\nx\r\nEND\r\n').length, 5001);
    await client.until('\r\n');
    const value = 'm'.repeat(2 ** 20 - 100);
    const bytes = Buffer.from(`set big 0 0 ${value.length}\r\n${value}\r\n`);
    for (let at = 0; at < bytes.length; at += 1460) client.send(bytes.subarray(at, at + 1460));
    assert.equal(await client.until('\r\n'), 'STORED\r\n');
    const got = await client.ask('get big\r\n', 'END\r\n');
    assert.equal(got, `VALUE big 0 ${value.length}\r\n${value}\r\nEND\r\n`);
    client.close();
    await server.stop();
  });

  it('a client that does not read is left waiting, and others are served', async () => {
    const server = await serveExample('-t', '1');
    const stuck = new RawClient(server.port);
    const value = 'm'.repeat(500_000);
    await stuck.ask(`set big 0 0 ${value.length}\r\n${value}\r\n`);
    stuck.socket.pause();
    stuck.send('get big\r\n'.repeat(60));
    const other = new RawClient(server.port);
    for (let i = 0; i < 100; i++) assert.match(await other.ask('version\r\n'), /^VERSION/);
    const stats = await other.ask('stats\r\n', 'END\r\n');
    const written = Number(/STAT bytes_written (\d+)/.exec(stats)?.[1]);
    assert.ok(written < 15_000_000, `${written} bytes of 30 MB are kept for who does not read`);
    stuck.socket.resume();
    for (let i = 0; i < 60; i++)
      assert.equal((await stuck.until('END\r\n')).length, value.length + 27);
    stuck.close();
    other.close();
    assert.equal(await server.stop(), 0);
  });

  it('answers all that came before the client closed its side', async () => {
    const server = await serveExample('-t', '1');
    const client = new RawClient(server.port);
    const value = 'h'.repeat(500_000);
    await client.ask(`set half 0 0 ${value.length}\r\n${value}\r\n`);
    client.send('get half\r\n'.repeat(40));
    client.socket.end();
    for (let i = 0; i < 40; i++)
      assert.equal((await client.until('END\r\n')).length, value.length + 28);
    assert.equal(await client.until('never'), '<closed>');
    await server.stop();
  });

  it('answers what was asked before SIGTERM', async () => {
    const server = await serveExample('-t', '1');
    const client = new RawClient(server.port);
    const value = 's'.repeat(500_000);
    await client.ask(`set stop 0 0 ${value.length}\r\n${value}\r\n`);
    client.send('get stop\r\n'.repeat(40));
    await client.until('VALUE');
    const stopped = server.stop();
    for (let i = 0; i < 40; i++) await client.until('END\r\n');
    assert.equal(await stopped, 0);
    client.close();
  });

  it('a get whose answers are many is answered as the client reads', async () => {
    const server = await serveExample('-t', '1');
    const client = new RawClient(server.port);
    const value = 'g'.repeat(500_000);
    await client.ask(`set g 0 0 ${value.length}\r\n${value}\r\n`);
    client.socket.pause();
    client.send(`get${' g'.repeat(60)}\r\n`);
    const other = new RawClient(server.port);
    await other.ask('version\r\n');
    const stats = await other.ask('stats\r\n', 'END\r\n');
    assert.ok(Number(/STAT bytes_written (\d+)/.exec(stats)?.[1]) < 15_000_000);
    client.socket.resume();
    const answers = await client.until('END\r\n');
    assert.equal(answers.length, 60 * (value.length + 20) + 5);
    client.close();
    other.close();
    await server.stop();
  });

  it('speaks UDP in frames, and cuts long answers into datagrams', async () => {
    const udpPort = await freeUdpPort();
    const server = await serveExample('-t', '2', '-U', String(udpPort));
    const socket = dgram.createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const frames = async (request: string, id: number): Promise<string> => {
      const parts: string[] = [];
      const done = new Promise<void>((resolve, reject) => {
        soon().signal.addEventListener('abort', () => reject(new Error('datagrams lost')));
        const receive = (message: Buffer) => {
          assert.equal(message.readUInt16BE(0), id);
          assert.ok(message.length <= 1400);
          assert.equal(message.readUInt16BE(6), 0);
          parts[message.readUInt16BE(2)] = message.toString('latin1', 8);
          if (Object.keys(parts).length < message.readUInt16BE(4)) return;
          socket.off('message', receive);
          resolve();
        };
        socket.on('message', receive);
      });
      const header = Buffer.from([id >> 8, id & 255, 0, 0, 0, 1, 0, 0]);
      socket.send([header, Buffer.from(request, 'latin1')], udpPort, '127.0.0.1');
      await done;
      return parts.join('');
    };
    assert.equal(await frames('set u 0 0 3\r\nudp\r\n', 1), 'STORED\r\n');
    assert.equal(await frames('get u\r\n', 0xffff), 'VALUE u 0 3\r\nudp\r\nEND\r\n');
    const client = new RawClient(server.port);
    const value = 'v'.repeat(100_000);
    await client.ask(`set big 0 0 ${value.length}\r\n${value}\r\n`);
    assert.equal(await frames('get big\r\n', 7), `VALUE big 0 100000\r\n${value}\r\nEND\r\n`);
    // No frames, more than one, and too short ones: ignored, and the server goes on.
    for (const junk of [
      [],
      [1, 2, 3],
      [0, 1, 0, 0, 0, 2, 0, 0, 103],
      [0, 1, 0, 1, 0, 1, 0, 0, 103],
    ])
      socket.send(Buffer.from(junk), udpPort, '127.0.0.1');
    assert.match(await frames('version\r\n', 9), /^VERSION/);
    socket.close();
    client.close();
    assert.equal(await server.stop(), 0);
  });

  it('serves UDP by the owners of buckets', { skip: skipWithout('loopback-net') }, async (t) => {
    const folder = mkdtempSync(path.join(tmpdir(), 'rss-memcached-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const admin = path.join(folder, 'admin');
    const udpPort = await freeUdpPort();
    const options = ['-o', `steering=single,admin=${admin}`];
    const server = await serveExample('-t', '2', '-U', String(udpPort), ...options);
    const request = Buffer.from('\0\x01\0\0\0\x01\0\0version\r\n', 'latin1');
    const count = 64;
    await inParallel(count, 8, async () => {
      const source = { host: '127.0.0.1', port: udpPort, localAddress: randomLoopback() };
      const { text } = await datagram(source, request);
      assert.match(text, /VERSION/);
    });
    const { total } = await snapshot(admin);
    assert.equal(total.datagramsIn, count);
    assert.ok(total.datagramsForwarded > 0);
    // The connection that showed that the server listens may have been handed off.
    assert.equal(total.misdirected, total.datagramsForwarded + total.handedOff);
    assert.equal(await server.stop(), 0);
  });

  it('items expire within a second of their time', async () => {
    const server = await serveExample('-t', '2');
    const client = new RawClient(server.port);
    await client.ask('set soon 0 4 1\r\nx\r\n');
    assert.match(await client.ask('get soon\r\n', 'END\r\n'), /^VALUE/);
    await new Promise((resolve) => setTimeout(resolve, 5100));
    assert.equal(await client.ask('get soon\r\n', 'END\r\n'), 'END\r\n');
    client.close();
    await server.stop();
  });

  it('keeps within a small memory limit by evicting, or with -M by refusing', async () => {
    const evicting = await serveExample('-t', '1', '-m', '1', '-I', '64k');
    const refusing = await serveExample('-t', '1', '-m', '1', '-I', '64k', '-M');
    const value = 'e'.repeat(1000);
    for (const [server, expected] of [
      [evicting, /^(STORED\r\n)+$/],
      [refusing, /SERVER_ERROR out of memory storing object\r\n$/],
    ] as const) {
      const client = new RawClient(server.port);
      let answers = '';
      for (let i = 0; i < 2000; i++)
        answers += await client.ask(`set k${i} 0 0 1000\r\n${value}\r\n`);
      assert.match(answers, expected);
      const stats = await client.ask('stats\r\n', 'END\r\n');
      assert.ok(Number(/STAT bytes (\d+)/.exec(stats)?.[1]) < 2 ** 20);
      client.close();
      await server.stop();
    }
  });
});
