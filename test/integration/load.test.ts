// freebsd-rss load against real servers counts what they did.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';

import { bucketOf, rssConfig } from 'freebsd-rss';

import type { Counts } from '../../cli/load/messages.js';
import { loopbackNet, skipWithout } from '../helpers/features.js';
import { freePort, freePorts, RawClient, serveMemcached } from '../helpers/memcached.js';

const folder = mkdtempSync(path.join(tmpdir(), 'rss-load-'));
after(() => rmSync(folder, { recursive: true }));

interface Result extends Counts {
  connections: number;
  rate: number;
  warnings: string[];
  latencyUs: { p50: number; p90: number; p99: number; max: number };
  buckets: { bucket: number; connections: number; answered: number; share: number }[];
  perSecond: { answered: number }[];
}

function command(args: string[], input = '') {
  return new Promise<{ status: number; stdout: string; stderr: string }>((resolve) => {
    const child = execFile(
      process.execPath,
      ['dist/cli/main.js', 'load', ...args],
      (error, stdout, stderr) =>
        resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
    child.stdin!.end(input);
  });
}

async function load(args: string[], input = ''): Promise<Result> {
  // Long enough that only the server loses requests, never a pause of this machine.
  const short = ['--seconds', '1', '--warmup', '0', '--timeout', '20000', '--json'];
  const { status, stdout, stderr } = await command([...short, ...args], input);
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as Result;
}

/** A UDP server that calls `serve` for each datagram. */
async function udpServer(serve: (answer: () => void, number: number) => void) {
  const socket = dgram.createSocket({ type: 'udp4', recvBufferSize: 2 ** 22 });
  let number = 0;
  socket.on('message', (bytes, { port, address }) =>
    serve(() => socket.send(bytes, port, address), number++),
  );
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return { url: `udp://127.0.0.1:${socket.address().port}`, close: () => socket.close() };
}

async function listening(server: net.Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

// Most of each test's time is a load's duration, so some run side by side.
const concurrency = 3;

describe('freebsd-rss load, UDP', { concurrency }, () => {
  it('everything answered: nothing lost, duplicate or out of order', async () => {
    const { url, close } = await udpServer((answer) => answer());
    const result = await load(['-d', '4', '--size', 'imix', url]);
    close();
    assert.ok(result.answered > 0);
    assert.equal(result.answered, result.sent);
    const { lost, duplicates, reordered, wrong, warnings } = result;
    assert.deepEqual([lost, duplicates, reordered, wrong, warnings], [0, 0, 0, 0, []]);
    assert.equal(result.connections, 16);
    const sum = (of: (row: Result['buckets'][0]) => number) =>
      result.buckets.reduce((total, row) => total + of(row), 0);
    assert.equal(
      sum(({ answered }) => answered),
      result.answered,
    );
    assert.equal(
      sum(({ connections }) => connections),
      16,
    );
  });

  it('counts what a server drops, sends twice and sends later', async () => {
    const did = { dropped: 0, twice: 0, held: 0 };
    let held: (() => void) | undefined;
    const { url, close } = await udpServer((answer, number) => {
      if (number % 10 === 3) did.dropped++;
      else if (number % 10 === 5) {
        did.twice++;
        answer();
        answer();
      } else if (number % 10 === 6) held = answer;
      else {
        answer();
        if (held !== undefined) did.held++;
        held?.();
        held = undefined;
      }
    });
    const args = ['-c', '1', '-d', '64', '--rate', '500', '--timeout', '300', url];
    const result = await load(args);
    close();
    assert.equal(result.sent, 500);
    assert.equal(result.lost - result.late, did.dropped);
    assert.equal(result.answered + result.lost, result.sent);
    assert.equal(result.duplicates, did.twice);
    assert.equal(result.reordered, did.held);
    assert.ok(did.dropped === 50 && did.twice === 50 && did.held === 50);
  });

  it('interrupted: prints the results so far', async () => {
    const { url, close } = await udpServer((answer) => answer());
    const args = ['dist/cli/main.js', 'load', '--seconds', '60', '--warmup', '0', url];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    let stopped = false;
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (!stopped && /^ +[1-9]\d* +[1-9]/m.test(output)) stopped = child.kill('SIGINT');
    });
    const [status] = (await once(child, 'close')) as [number];
    close();
    assert.equal(status, 0);
    const [, answered, seconds] = /^answered +([\d,]+) in (\S+) s/m.exec(output)!;
    assert.ok(Number(answered!.replaceAll(',', '')) > 0 && Number(seconds) < 30);
  });

  it('no server: says so, with status 1', async () => {
    // A port that is free now may become that of a source, which would then answer itself.
    const args = ['-s', '0.2', '--warmup', '0', '--timeout', '100', 'udp://127.0.0.1:1'];
    const { status, stdout } = await command(args);
    assert.equal(status, 1);
    assert.match(stdout, /warning: nothing has been answered/);
  });

  it(
    'flows of `freebsd-rss flows`: as many answers of each bucket',
    { skip: skipWithout('loopback-net') },
    async () => {
      const { url, close } = await udpServer((answer) => answer());
      const key = Buffer.from(rssConfig().hashKey).toString('hex');
      const hashing = ['--key', key, '--buckets', '8'];
      const flags = ['--server', url.slice('udp://'.length), '--from', '127.1.0.0/16', '--json'];
      const flows = await new Promise<string>((resolve, reject) =>
        execFile(
          process.execPath,
          ['dist/cli/main.js', 'flows', '--per-bucket', '2', ...hashing, ...flags],
          (error, stdout) => (error === null ? resolve(stdout) : reject(error)),
        ),
      );
      const result = await load(
        [...hashing, '-d', '10', '--rate', '160', '--sources', '-', url],
        flows,
      );
      close();
      // By 2- or 4-tuple, as this host hashes UDP; `flows` was given a port.
      const expected = (JSON.parse(flows) as { address: string; port: number }[]).map(
        ({ address, port }) =>
          bucketOf(
            {
              protocol: 'udp',
              source: address,
              sourcePort: port,
              destination: '127.0.0.1',
              destinationPort: Number(url.split(':').at(-1)),
            },
            { ...rssConfig(), buckets: 8, bits: 3, mask: 7, bucketMap: [0, 0, 0, 0, 0, 0, 0, 0] },
          ).bucket,
      );
      for (const { bucket, connections, answered } of result.buckets) {
        assert.equal(connections, expected.filter((one) => one === bucket).length);
        assert.equal(answered, connections * 10);
      }
      assert.equal(result.answered, 160);
      const perBucket = ['--from', '127.1.0.0/16', '--per-bucket', '3', ...hashing];
      const { url: again, close: end } = await udpServer((answer) => answer());
      const even = await load([...perBucket, '-d', '30', '--rate', '240', again]);
      end();
      for (const { connections, answered } of even.buckets)
        assert.deepEqual([connections, answered], [3, 30]);
    },
  );

  it('--find-max: at most the rate that the server answers', async () => {
    const perSecond = 2000;
    const search = async (...more: string[]) => {
      let tokens = 20;
      const refill = setInterval(() => (tokens = Math.min(40, tokens + perSecond / 100)), 10);
      const { url, close } = await udpServer((answer) => {
        if (tokens < 1) return;
        tokens--;
        answer();
      });
      const args = ['--find-max', '-s', '0.5', '--warmup', '0', '--timeout', '200', ...more, url];
      const result = await command(args);
      clearInterval(refill);
      close();
      return result;
    };
    const [{ status, stdout, stderr }, json] = await Promise.all([search(), search('--json')]);
    const { trials: list } = JSON.parse(json.stdout) as {
      trials: { passed: boolean; lost: number }[];
    };
    for (const { passed, lost } of list) assert.ok(!passed || lost === 0);
    assert.ok(list.some(({ lost }) => lost > 0));
    const trials = [...stdout.matchAll(/^ +([\d,]+) a second: (.*)$/gm)].map(
      ([, rate, what]) => [Number(rate!.replaceAll(',', '')), what!] as const,
    );
    assert.ok(trials.length > 3, `${stdout}${stderr}`);
    const passed = trials.filter(([, what]) => what === 'passes').map(([rate]) => rate);
    if (passed.length === 0) assert.equal(status, 1);
    // Saved tokens let a slightly higher rate pass for half a second.
    for (const rate of passed) assert.ok(rate < 1.2 * perSecond, stdout);
    for (const [rate, what] of trials) if (rate > 2 * perSecond) assert.match(what, /lost/);
  });
});

describe('freebsd-rss load, connections', { concurrency }, () => {
  it('TCP echo: complete and in order', async () => {
    const server = net.createServer((socket) => socket.pipe(socket));
    const port = await listening(server);
    const url = `tcp://127.0.0.1:${port}`;
    const result = await load(['-c', '4', '-d', '8', '--size', '4:5,5000-70000:1', url]);
    server.close();
    assert.ok(result.answered > 0);
    const { sent, lost, wrong, duplicates } = result;
    assert.deepEqual([sent, lost, wrong, duplicates], [result.answered, 0, 0, 0]);
  });

  it('latency counts from when a request was due', async () => {
    // Nothing is answered for 300 ms. A client that waited for answers would be late only once.
    const stallMs = 300;
    let stalled = false;
    const server = net.createServer((socket) => {
      socket.on('data', (bytes) => {
        if (!stalled && socket.bytesRead > 64 * 50) {
          stalled = true;
          const until = performance.now() + stallMs;
          while (performance.now() < until);
        }
        socket.write(bytes);
      });
    });
    const port = await listening(server);
    const result = await load(['-c', '2', '--rate', '1000', `tcp://127.0.0.1:${port}`]);
    server.close();
    assert.equal(result.answered, 1000);
    assert.ok(stalled && result.latencyUs.max >= stallMs * 900, JSON.stringify(result.latencyUs));
    assert.ok(result.latencyUs.p90 > 50_000, 'three in ten were due meanwhile');
  });

  it('requests of a closed connection are lost, and it is opened again', async () => {
    let seen = 0;
    const server = net.createServer((socket) => {
      socket.on('data', (bytes) => {
        if (++seen % 100 === 0) socket.resetAndDestroy();
        else socket.write(bytes);
      });
      socket.on('error', () => undefined);
    });
    const port = await listening(server);
    const result = await load(['-c', '4', `tcp://127.0.0.1:${port}`]);
    server.close();
    assert.ok(result.lost >= 1);
    assert.equal(result.answered + result.lost, result.sent);
    assert.match(result.warnings.join(), /connections ended early/);
  });

  it('at a rate: a connection that ends loses its own requests alone', async () => {
    let seen = 0;
    const server = net.createServer((socket) => {
      socket.on('data', (bytes) => {
        if (++seen === 100) socket.resetAndDestroy();
        else socket.write(bytes);
      });
      socket.on('error', () => undefined);
    });
    const port = await listening(server);
    const ports = await freePorts(2);
    const sources = ports.map((own) => `127.0.0.1:${own}\n`).join('');
    const args = ['--sources', '-', '--rate', '200', '--seconds', '2', `tcp://127.0.0.1:${port}`];
    const result = await load(args, sources);
    assert.deepEqual([result.sent, result.lost, result.late], [400, 1, 0]);
    assert.match(result.warnings.join(), /1 connections ended early/);
    // The same ports are used again.
    const again = await load(args, sources);
    assert.deepEqual([again.answered, again.lost], [400, 0]);
    server.close();
  });

  it('reports a server that speaks another protocol', async () => {
    const server = net.createServer((socket) => {
      socket.on('data', () => socket.write('220 who are you\r\n'));
      socket.on('error', () => undefined);
    });
    const port = await listening(server);
    for (const protocol of ['tcp', 'memcached', 'http']) {
      const url = `${protocol}://127.0.0.1:${port}`;
      const { status, stderr } = await command(['-s', '0.3', '--warmup', '0', '-c', '1', url]);
      assert.equal(status, 1);
      assert.match(stderr, /^warning: the (server|answer)/);
    }
    server.close();
  });

  it('no server: the error has its address', async () => {
    const port = await freePort();
    const { status, stderr } = await command([`tcp://127.0.0.1:${port}`]);
    assert.equal(status, 70);
    assert.match(stderr, /ECONNREFUSED/);
  });

  it('HTTP: lengths, chunks and error pages', async () => {
    const server = http.createServer((request, response) => {
      if (request.url === '/chunks') {
        response.write('a'.repeat(5000));
        setImmediate(() => response.end('b'.repeat(17)));
      } else if (request.url === '/missing') {
        response.statusCode = 404;
        response.end('no\n');
      } else response.end('x'.repeat(1000));
    });
    const port = await listening(server);
    const url = `http://127.0.0.1:${port}`;
    for (const page of ['/length', '/chunks', '/missing']) {
      const result = await load(['-c', '2', '-s', '0.3', `${url}${page}`]);
      assert.ok(result.answered > 0);
      assert.deepEqual([result.wrong, result.lost], [0, 0]);
      assert.equal(result.errors, page === '/missing' ? result.answered : 0);
    }
    server.close();
    server.closeAllConnections();
  });

  it('--svg draws a chart', async () => {
    const server = net.createServer((socket) => socket.pipe(socket));
    const port = await listening(server);
    const file = path.join(folder, 'chart.svg');
    await load(['-s', '2.2', '--svg', file, `tcp://127.0.0.1:${port}`]);
    server.close();
    const svg = readFileSync(file, 'utf8');
    assert.match(svg, /^<svg/);
    for (const text of ['answers a second', 'p99, µs', 'share of the answers', '99.9 %'])
      assert.ok(svg.includes(`>${text}<`), text);
    assert.ok(!svg.includes('NaN'));
  });
});

it('freebsd-rss load, memcached itself', { skip: skipWithout('memcached') }, async () => {
  const server = await serveMemcached('-m', '64');
  try {
    const url = `memcached://127.0.0.1:${server.port}`;
    const args = ['--keys', '500', '--size', '10-3000', '-w', '2', '-d', '4'];
    const cold = await load([...args, '--sets', '0', url]);
    assert.deepEqual([cold.hits, cold.misses], [0, cold.answered]);
    const warm = await load([...args, '--sets', '30', '--zipf', '1', '--fill', url]);
    assert.equal(warm.misses, 0);
    const share = warm.hits / warm.answered;
    assert.ok(share > 0.6 && share < 0.8, `${share}`);
    assert.deepEqual([warm.lost, warm.errors, warm.wrong], [0, 0, 0]);
    const client = new RawClient(server.port);
    const stats = await client.ask('stats\r\n', 'END\r\n');
    client.close();
    const stat = (name: string) => Number(new RegExp(`STAT ${name} (\\d+)`).exec(stats)![1]);
    assert.equal(stat('curr_items'), 500);
    assert.equal(stat('cmd_get'), cold.answered + warm.hits);
    assert.equal(stat('cmd_set'), 500 + warm.answered - warm.hits);
    // Every source is one of those that were requested.
    const list = path.join(folder, 'sources');
    const other = loopbackNet ? '127.0.0.6' : '127.0.0.1';
    writeFileSync(list, `127.0.0.1\n${other}\n`);
    const two = await load(['-c', '9', '--sources', list, url]);
    assert.equal(two.connections, 2);
  } finally {
    await server.stop();
  }
});
