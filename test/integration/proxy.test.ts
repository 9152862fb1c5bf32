// examples/proxy: a connection to the target falls into the bucket of its client, and can begin
// with the client's addresses.
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

      it('names the client to the target: PROXY protocol 1', async () => {
        const target = net.createServer((socket) => socket.pipe(socket));
        await once(target.listen(0, host), 'listening');
        await using server = await createServer({
          worker: new URL('../../examples/proxy/worker.js', import.meta.url),
          workerData: {
            host,
            port: (target.address() as net.AddressInfo).port,
            namesClient: true,
          },
          workers: 1,
          tcp: { host },
        }).listen();
        const { port } = server.addresses[0]!;
        const socket = net.connect(port, host);
        await once(socket, 'connect');
        const { localPort } = socket;
        socket.end('hello');
        let got = '';
        for await (const chunk of socket as AsyncIterable<Buffer>) got += chunk.toString('latin1');
        const family = host === '::1' ? 'TCP6' : 'TCP4';
        assert.equal(got, `PROXY ${family} ${host} ${host} ${localPort} ${port}\r\nhello`);
        target.close();
      });
    },
  );
