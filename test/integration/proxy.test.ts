// examples/proxy: a connection to the target falls into the bucket of its client.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { describe, it } from 'node:test';

import { bucketOf, createServer, type RssServer } from 'freebsd-rss';

import { skipWithout } from '../helpers/features.js';
import { inParallel } from '../helpers/net.js';

for (const host of ['127.0.0.1', '::1'])
  describe(
    `examples/proxy on ${host}`,
    { skip: host === '::1' ? skipWithout('ipv6') : false },
    () => {
      it('300 connections: every byte, and the bucket of the client', async () => {
        // The target sends the port that it sees, then echoes.
        const target = net.createServer((socket) => {
          socket.on('error', () => undefined);
          socket.write(`${socket.remotePort}\n`);
          socket.pipe(socket);
        });
        await once(target.listen(0, host), 'listening');
        const { port: targetPort } = target.address() as net.AddressInfo;
        const server: RssServer = await createServer({
          worker: new URL('../../examples/proxy/worker.js', import.meta.url),
          workerData: { host, port: targetPort },
          workers: 2,
          buckets: 16,
          tcp: { host },
        }).listen();
        const { port } = server.addresses[0]!;
        await inParallel(300, 20, async () => {
          const socket = net.connect(port, host);
          await once(socket, 'connect');
          const payload = randomBytes(20_000);
          socket.write(payload);
          let got = Buffer.alloc(0);
          for await (const chunk of socket as AsyncIterable<Buffer>) {
            got = Buffer.concat([got, chunk]);
            const line = got.indexOf('\n');
            if (line < 0 || got.length < line + 1 + payload.length) continue;
            assert.ok(got.subarray(line + 1).equals(payload));
            const towards = (sourcePort: number, destinationPort: number) =>
              bucketOf(
                { protocol: 'tcp', source: host, sourcePort, destination: host, destinationPort },
                server.config,
              ).bucket;
            // As the proxy's host receives them, from the client and from the target.
            assert.equal(
              towards(targetPort, Number(got.subarray(0, line))),
              towards(socket.localPort!, port),
            );
            break;
          }
        });
        await server.close({ timeout: 0 });
        target.close();
      });
    },
  );
