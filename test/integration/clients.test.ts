// Servers without listeners, whose workers connect.
import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { it } from 'node:test';
import { BroadcastChannel } from 'node:worker_threads';

import { createServer, bucketOf } from 'freebsd-rss';

import type { DatagramClientReport } from '../fixtures/datagram-client-worker.js';
import { assertNoLeak, openDescriptors } from '../helpers/net.js';

it('UDP sockets of a worker: connected from a port of each bucket, closed', async () => {
  const echo = dgram.createSocket('udp4');
  const heard: string[] = [];
  echo.on('message', (bytes, { port, address }) => {
    heard.push(bytes.toString());
    echo.send(bytes, port, address);
  });
  echo.bind(0, '127.0.0.1');
  await once(echo, 'listening');
  const { port } = echo.address();
  const channel = new BroadcastChannel('datagram-client-worker');
  const telling = new Promise<DatagramClientReport>((resolve) => {
    channel.onmessage = (event) => resolve((event as { data: DatagramClientReport }).data);
  });
  const before = openDescriptors();
  const server = createServer({
    worker: new URL('../fixtures/datagram-client-worker.js', import.meta.url),
    workers: 1,
    buckets: 4,
    udpHash: '4-tuple',
    workerData: { port },
    stream: { checked: false }, // the worker sends by sockets that it has closed
  });
  await server.listen();
  const { answers, errors, closed } = await telling;
  assert.deepEqual(answers.map(({ asked }) => asked).sort(), [0, 1, 2, 3]);
  for (const { asked, bucket, text, from } of answers) {
    assert.equal(bucket, asked);
    assert.equal(text, `bucket ${asked}`);
    const flow = { protocol: 'udp', source: '127.0.0.1', destination: '127.0.0.1' } as const;
    const { config } = server;
    const back = bucketOf({ ...flow, sourcePort: port, destinationPort: from }, config);
    assert.equal(back.bucket, asked);
  }
  assert.deepEqual(errors, [
    'ERR_OUT_OF_RANGE',
    'ERR_INVALID_ARG_VALUE',
    'ERR_INVALID_ARG_VALUE',
    'EADDRNOTAVAIL',
    'ERR_INVALID_ARG_VALUE',
    'ERR_RSS_STATE',
  ]);
  assert.ok(closed);
  assert.deepEqual(server.addresses, []);
  await server.close();
  await assertNoLeak(before);
  assert.equal(heard.length, 4);
  channel.close();
  echo.close();
});
