// The small examples do what their first comment says.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { it } from 'node:test';
import tls from 'node:tls';

import { certificate } from '../helpers/certificate.js';
import { skipWithout } from '../helpers/features.js';

/** Runs an example on a free port; returns the port, and a function that ends it. */
async function example(name: string, ...args: string[]) {
  const main = `dist/examples/${name}/main.js`;
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  while (!output.includes('\n')) await once(child.stdout, 'data');
  const port = Number(/:(\d+)/.exec(output)![1]);
  return {
    port,
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
  const flows = [...output.matchAll(/^flow (0x[\da-f]{8}, udp-\S*, bucket (\d+)): (\d+)$/gm)];
  assert.equal(new Set(flows.map(([, flow]) => flow)).size, 1);
  assert.equal(
    flows.reduce((total, [, , , count]) => total + Number(count), 0),
    20,
  );
  assert.match(output, new RegExp(`^bucket ${flows[0]![2]}, CPU \\d+: 20 in`, 'm'));
});

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

it('tls echoes', { skip: skipWithout('openssl') }, async () => {
  const { keyFile, certFile } = certificate();
  const { port, end } = await example('tls', keyFile, certFile, '0');
  const clients = Array.from({ length: 20 }, async (_, i) => {
    const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
    socket.write(`secret ${i}`);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    assert.equal(answer.toString(), `secret ${i}`);
    socket.destroy();
  });
  await Promise.all(clients);
  await end();
});
