// node:http on accepted sockets: timeouts and an orderly close, as if the server had listened.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';

import { createServer, type RssServer } from 'freebsd-rss';

const worker = new URL('../fixtures/http-worker.js', import.meta.url);

function get(agent: http.Agent, port: number, path = '/'): Promise<string> {
  return new Promise((resolve, reject) => {
    http
      .get({ agent, port, path, host: '127.0.0.1' }, (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => (text += chunk.toString()));
        response.on('end', () => resolve(text));
      })
      .on('error', reject);
  });
}

describe('serveHttp', () => {
  let server: RssServer;
  let port: number;
  let agent: http.Agent;
  beforeEach(async () => {
    server = createServer({ worker, tcp: { host: '127.0.0.1' }, workers: 1 });
    await server.listen();
    port = server.addresses[0]!.port;
    agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  });
  afterEach(async () => {
    agent.destroy();
    await server.close({ timeout: 0 });
  });

  it('keeps connections alive', async () => {
    for (let i = 0; i < 5; i++) assert.equal(await get(agent, port), 'hello');
    assert.equal(server.stats().total.served, 1);
  });

  it('answers a client that never ends its headers with 408', async () => {
    const socket = net.connect(port, '127.0.0.1');
    socket.write('GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ');
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString()));
    await once(socket, 'close');
    assert.match(text, /^HTTP\/1\.1 408 Request Timeout\r\n/);
  });

  it('close() ends idle keep-alive connections at once', async () => {
    await get(agent, port);
    const started = performance.now();
    await server.close({ timeout: 20_000 });
    assert.ok(performance.now() - started < 10_000);
  });

  it('close() lets a request finish', async () => {
    const answer = get(agent, port, '/slow');
    while (server.stats().total.served === 0) await new Promise((r) => setTimeout(r, 10));
    await new Promise((resolve) => setTimeout(resolve, 50));
    await server.close({ timeout: 20_000 });
    assert.equal(await answer, 'late');
  });
});
