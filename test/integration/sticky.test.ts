// tcp: { hash: '2-tuple' }: the connections of a client address reach one worker.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';

import { bucketOf, createServer, rssConfig } from 'freebsd-rss';

import { skipWithout, steerings } from '../helpers/features.js';
import { portOf } from '../helpers/net.js';
import { soon } from '../helpers/wait.js';

const worker = new URL('../fixtures/polling-worker.js', import.meta.url);
const clients = Array.from({ length: 12 }, (_, i) => `127.0.0.${11 + i}`);

interface Answer {
  sid: string;
  polls: number;
  workerIndex: number;
}

async function poll(port: number, localAddress: string, path: string) {
  const options = { host: '127.0.0.1', port, localAddress, path, agent: false };
  const [response] = (await once(http.get(options), 'response', soon())) as [http.IncomingMessage];
  return { status: response.statusCode, body: await text(response) };
}

/** Opens a session and polls ten times, as socket.io does. Returns the worker that served it. */
async function session(port: number, client: string): Promise<number> {
  const opened = JSON.parse((await poll(port, client, '/')).body) as Answer;
  for (let polls = 1; polls <= 10; polls++) {
    const { status, body } = await poll(port, client, `/?sid=${opened.sid}`);
    assert.equal(status, 200, body);
    assert.deepEqual(JSON.parse(body), { ...opened, polls });
  }
  return opened.workerIndex;
}

describe('sticky', { skip: skipWithout('loopback-net') }, () => {
  for (const steering of ['auto', ...steerings.filter((name) => name !== 'bpf-cpu')] as const) {
    const skip = steering !== 'auto' && skipWithout(steering);
    it(`${steering}: polling works for 12 of 12 clients on 4 workers`, { skip }, async () => {
      const tcp = { host: '127.0.0.1', hash: '2-tuple' } as const;
      const server = createServer({ worker, workers: 4, steering, tcp });
      await server.listen();
      assert.equal(server.config.tcpHash, '2-tuple');
      const workers = await Promise.all(clients.map((client) => session(portOf(server), client)));
      assert.ok(new Set(workers).size > 1, 'not all clients have the same worker');
      await server.close({ timeout: 0 });
    });
  }
});

it('the hash of TCP without ports is that of the addresses', () => {
  const config = {
    ...rssConfig({ buckets: 128, udpHash: '2-tuple' }),
    tcpHash: '2-tuple',
  } as const;
  const flow = { source: '10.1.2.3', sourcePort: 1, destination: '10.0.0.1', destinationPort: 2 };
  const tcp = bucketOf({ ...flow, protocol: 'tcp' }, config);
  assert.deepEqual(tcp, bucketOf({ ...flow, protocol: 'udp' }, config));
  assert.equal(tcp.hashType, 'ipv4');
  assert.deepEqual(tcp, bucketOf({ ...flow, protocol: 'tcp', sourcePort: 9 }, config));
});
