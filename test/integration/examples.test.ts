// The small examples do what their first comment says.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import tls from 'node:tls';

import { certificate } from '../helpers/certificate.js';
import { skipWithout } from '../helpers/features.js';
import { datagram, inParallel, randomLoopback } from '../helpers/net.js';
import { soon, until } from '../helpers/wait.js';

/** Runs an example on a free port; returns the port, and a function that ends it. */
const example = (name: string, ...args: string[]) => exampleOn([], name, ...args);

/** The same, with options of Node. */
async function exampleOn(options: string[], name: string, ...args: string[]) {
  const main = `dist/examples/${name}${name.includes('/') ? '' : '/main'}.js`;
  const child = spawn(process.execPath, [...options, main, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await until('it printed its port', () => output.includes('\n'), child);
  const port = Number(/:(\d+)/.exec(output)![1]);
  return {
    port,
    child,
    output: () => output,
    async end() {
      child.kill('SIGTERM');
      const [code] = (await once(child, 'close')) as [number];
      assert.equal(code, 0);
      return output;
    },
  };
}

it('udp-echo counts by flow and bucket', async () => {
  const { port, end } = await example('udp-echo', '0');
  const socket = dgram.createSocket('udp4');
  for (let i = 0; i < 20; i++) {
    const echoed = once(socket, 'message');
    socket.send(`datagram ${i}`, port, '127.0.0.1');
    assert.equal(String((await echoed)[0]), `datagram ${i}`);
  }
  socket.close();
  const output = await end();
  const counts = [...output.matchAll(/^bucket \d+, CPU \d+: (\d+) in, (\d+) out/gm)];
  const sum = (column: number) => counts.reduce((total, row) => total + Number(row[column]), 0);
  assert.deepEqual([sum(1), sum(2)], [20, 20]);
  // Counted by worker: where the CPU chooses, a flow reaches several when its sender moves.
  const flows = [...output.matchAll(/^flow (0x[\da-f]{8}, [\w-]+, bucket (\d+)): (\d+)$/gm)];
  assert.equal(new Set(flows.map(([, flow]) => flow)).size, 1);
  assert.equal(
    flows.reduce((total, [, , , count]) => total + Number(count), 0),
    20,
  );
  assert.match(output, new RegExp(`^bucket ${flows[0]![2]}, CPU \\d+: 20 in`, 'm'));
});

it(
  'udp-echo forwards datagrams to the owners of their buckets',
  {
    skip:
      skipWithout('two-cpus') ||
      skipWithout('loopback-net') ||
      (process.platform !== 'linux' && 'elsewhere the kernel decides'),
  },
  async () => {
    const noProgram = new URL('../fixtures/no-bpf.js', import.meta.url).href;
    const { port, end } = await exampleOn([`--import=${noProgram}`], 'udp-echo', '0');
    const count = 64;
    await inParallel(count, 8, () =>
      datagram({ host: '127.0.0.1', port, localAddress: randomLoopback() }),
    );
    const counts = [
      ...(await end()).matchAll(/ (\d+) in, \d+ out, (\d+) misdirected, (\d+) forwarded$/gm),
    ];
    const sum = (column: number) => counts.reduce((total, row) => total + Number(row[column]), 0);
    assert.equal(sum(1), count);
    assert.ok(sum(3) > 0);
    assert.equal(sum(2), sum(3));
  },
);

/** Sends a line; returns the answer. */
async function echoed(port: number, line: string): Promise<string> {
  const socket = net.connect(port, '127.0.0.1');
  socket.write(line);
  let answer = '';
  while (!answer.endsWith('\n')) answer += String((await once(socket, 'data'))[0]);
  socket.destroy();
  return answer;
}

for (const [form, answer] of [
  ['batches', 'A line\n'],
  ['lines', 'A LINE\n'],
] as const)
  it(`echo sends back, with ${form}`, async () => {
    const { port, end } = await example('echo', '0', '127.0.0.1', form);
    for (let i = 0; i < 5; i++) assert.equal(await echoed(port, 'A line\n'), answer);
    await end();
  });

it('http answers', async () => {
  const { port, end } = await example('http', '0');
  const answer = await fetch(`http://127.0.0.1:${port}/`);
  assert.equal(answer.status, 200);
  assert.notEqual(await answer.text(), '');
  await end();
});

it('proxy passes on', async () => {
  const target = net.createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1');
  await once(target, 'listening');
  const { port: targetPort } = target.address() as net.AddressInfo;
  const { port, end } = await example('proxy', `${targetPort}`, '127.0.0.1', '0');
  assert.equal(await echoed(port, 'by way of the proxy\n'), 'by way of the proxy\n');
  await end();
  target.close();
});

it(
  'tls echoes, and resumes the sessions of any worker',
  { skip: skipWithout('openssl') },
  async () => {
    const { keyFile, certFile } = certificate();
    const { port, end } = await example('tls', keyFile, certFile, '0');
    let session: Buffer | undefined;
    for (let i = 0; i <= 20; i++) {
      const options = { port, host: '127.0.0.1', localAddress: randomLoopback() };
      const socket = tls.connect({ ...options, rejectUnauthorized: false, session });
      // A resumed session need not bring a ticket of its own.
      const ticket = i === 0 ? once(socket, 'session', soon()) : undefined;
      socket.write(`secret ${i}`);
      const [answer] = (await once(socket, 'data', soon())) as [Buffer];
      assert.equal(answer.toString(), `secret ${i}`);
      assert.equal(socket.isSessionReused(), i > 0, `connection ${i}`);
      if (ticket !== undefined) [session] = (await ticket) as [Buffer];
      socket.destroy();
    }
    await end();
  },
);

it('counter: workers count in the same memory', async () => {
  const { port, end } = await example('counter', '0');
  const answers = await inParallel(30, 5, async () => {
    const options = { port, host: '127.0.0.1', localAddress: randomLoopback(), agent: false };
    const [response] = await once(http.get(options), 'response', soon());
    return text(response as http.IncomingMessage);
  });
  const numbers = answers.map((answer) => Number(/^request (\d+)\n$/.exec(answer)![1]));
  assert.deepEqual(
    numbers.sort((a, b) => a - b),
    Array.from({ length: 30 }, (_, i) => i + 1),
  );
  await end();
});

it('statistics: what workers have measured is merged', async () => {
  const { port, child, output, end } = await example('statistics', '0');
  const get = async () => (await fetch(`http://127.0.0.1:${port}/`)).text();
  for (let i = 0; i < 10; i++) assert.equal(await get(), 'hello\n');
  child.kill('SIGUSR2');
  while (!output().includes('99 %')) await once(child.stdout, 'data', soon());
  assert.match(output(), /^\d+ requests, median \d+ us, 99 % within \d+ us$/m);
  await get();
  assert.match(await end(), /^11 requests, /m);
});

for (const [name, ...args] of [
  ['tutorial/step1-net'],
  ['tutorial', '2'],
  ['tutorial', '3'],
  ['tutorial', '4'],
  ['tutorial', '5'],
])
  it(`${name} ${args.join('')}: answers lines with their lengths`, async () => {
    const { port, end } = await example(name!, ...args, '0');
    const socket = net.connect(port, 'localhost');
    let answer = '';
    socket.on('data', (bytes) => (answer += bytes.toString()));
    const answered = async (wanted: string) => {
      while (answer.length < wanted.length) await once(socket, 'data', soon());
      assert.equal(answer, wanted);
    };
    socket.write('one\n\nthree\nincom');
    await answered('3\n0\n5\n');
    socket.write(`plete\n${'x'.repeat(1234)}\n${'y'.repeat(100_000)}\n`);
    await answered('3\n0\n5\n10\n1234\n100000\n');
    socket.end();
    await once(socket, 'close', soon());
    await end();
  });

describe('command lines of the examples', () => {
  const run = (name: string, ...args: string[]) =>
    spawnSync(process.execPath, [`dist/examples/${name}.js`, ...args], { encoding: 'utf8' });
  const names = readdirSync('dist/examples').filter((name) =>
    existsSync(`dist/examples/${name}/main.js`),
  );

  for (const name of [...names.map((one) => `${one}/main`), 'tutorial/step1-net'])
    it(`${name} -h`, () => {
      const { status, stdout, stderr } = run(name, '-h');
      assert.deepEqual([status, stderr], [0, '']);
      assert.match(
        stdout,
        name === 'memcached/main' ? /-p, --port/ : /^usage: node dist\/examples/,
      );
    });

  const noAddress = /^an address must be an IP address or a host name, not "/;
  const wrong: [string, string[], RegExp][] = [
    ['http/main', ['80a'], /a port must be a number from 0 to 65535, not "80a"/],
    ['echo/main', ['65536'], /a port must be .*"65536"/],
    ['echo/main', ['0', '127.0.0.1', 'words'], /usage: .*batches\|lines/],
    ['udp-echo/main', ['-1'], /a port must be .*"-1"/],
    ['upgrade/main', ['x'], /a port must be .*"x"/],
    ['counter/main', ['x'], /a port must be .*"x"/],
    ['statistics/main', ['x'], /a port must be .*"x"/],
    ['tutorial/main', [], /usage: .*2\|3\|4\|5/],
    ['tutorial/main', ['6'], /usage: .*2\|3\|4\|5/],
    ['tutorial/step1-net', ['x'], /a port must be .*"x"/],
    ['proxy/main', [], /usage: .*TARGET_PORT/],
    ['proxy/main', ['http'], /a port must be .*"http"/],
    ['proxy/main', ['80', '127.0.0.1', '0', '127.0.0.1', 'socks'], /usage: .*proxy-v1/],
    ['udp-echo/main', ['0', 'a b'], noAddress],
    ['udp-echo/main', ['0', ''], noAddress],
    ['udp-echo/main', ['0', '10.0.0.300'], noAddress],
    ['echo/main', ['0', '10.0.0.300'], noAddress],
    ['http/main', ['0', '10.0.0.300'], noAddress],
    ['proxy/main', ['80', '10.0.0.300'], noAddress],
    ['proxy/main', ['80', '127.0.0.1', '0', '10.0.0.300'], noAddress],
    // A documentation address (RFC 5737): no host has it.
    ['udp-echo/main', ['0', '192.0.2.1'], /^bind EADDRNOTAVAIL: .*192\.0\.2\.1/],
    ['http/main', ['0', '192.0.2.1'], /^bind EADDRNOTAVAIL: .*192\.0\.2\.1/],
    ['tls/main', ['no-key.pem', 'no-cert.pem'], /there is no no-key.pem.*openssl req -x509/],
    ['memcached/main', ['-p', 'x'], /^memcached: -p must be a number/],
  ];
  for (const [name, args, message] of wrong)
    it(`${[name, ...args].join(' ')}: one line, status 64`, () => {
      const { status, stdout, stderr } = run(name, ...args);
      assert.deepEqual([status, stdout], [64, '']);
      assert.match(stderr, message);
      if (name !== 'memcached/main') assert.match(stderr, /^.*\n$/);
    });
});
