// Node's HTTP servers on accepted sockets: options, timeouts and an orderly close, as if they had
// listened.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, it } from 'node:test';

import { createServer, type RssServer, serveHttp } from 'freebsd-rss';

import { certificate } from '../helpers/certificate.js';
import { skipWithout } from '../helpers/features.js';
import { portOf } from '../helpers/net.js';
import { soon } from '../helpers/wait.js';

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
    const begun = once(server, 'message', soon());
    const answer = get(agent, port, '/slow');
    await begun;
    await server.close({ timeout: 20_000 });
    assert.equal(await answer, 'late');
  });

  it('gives sockets the options of the HTTP server', async () => {
    assert.deepEqual(JSON.parse(await get(agent, port, '/socket')), {
      readableHighWaterMark: 1234,
      writableHighWaterMark: 1234,
    });
  });

  it('sets noDelay and keepAliveInitialDelay', { skip: skipWithout('python3') }, async () => {
    assert.equal(await get(agent, port, '/options'), 'False True 600\n');
  });

  it('answers a client that has closed its side, if the HTTP server allows that', async () => {
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.end('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.match(await text(socket), /late$/);
  });

  it('turns keep-alive on', { skip: !existsSync('/proc/net/tcp') }, async () => {
    await get(agent, port);
    const ours = port.toString(16).toUpperCase().padStart(4, '0');
    // sl local_address rem_address st tx_queue:rx_queue tr; timer 2 is the one of keep-alive
    const row = new RegExp(`^ *\\d+: 0100007F:${ours} \\S+ 01 \\S+ 02:`, 'm');
    assert.match(readFileSync('/proc/net/tcp', 'latin1'), row);
  });
});

describe('serveHttp with other options and servers', () => {
  it('takes the options of the server', () => {
    const options = { keepAlive: true, keepAliveInitialDelay: 5000, noDelay: false };
    const { sockets } = serveHttp(http.createServer({ ...options, highWaterMark: 99 }));
    assert.deepEqual(sockets, { ...options, highWaterMark: 99, allowHalfOpen: true });
    assert.equal(serveHttp(http.createServer()).sockets.noDelay, true);
  });

  it('refuses a server of another kind', () => {
    assert.throws(() => serveHttp(net.createServer() as never), {
      code: 'ERR_INVALID_ARG_TYPE',
      message: /^"server" must be a node:http, node:https or node:http2 server/,
    });
  });
});

async function answerOf(session: http2.ClientHttp2Session, path: string): Promise<string> {
  return text(session.request({ ':path': path }));
}

/** A request of HTTP/2 that is being served, and then close(). */
async function closeWhileServing(server: RssServer, session: http2.ClientHttp2Session) {
  const slow = session.request({ ':path': '/slow' });
  const answer = text(slow);
  while (server.stats().total.served === 0) await new Promise((r) => setTimeout(r, 10));
  const ended = once(session, 'close', soon());
  await new Promise((resolve) => session.ping(() => resolve(undefined))); // the request is there
  await server.close({ timeout: 20_000 });
  await ended;
  return answer;
}

describe('serveHttp with HTTP/2', () => {
  const fixture = new URL('../fixtures/http2-worker.js', import.meta.url);
  it('serves, and close() lets a request finish', async () => {
    const server = createServer({ worker: fixture, tcp: { host: '127.0.0.1' }, workers: 1 });
    await server.listen();
    const origin = `http://127.0.0.1:${portOf(server)}`;
    const session = http2.connect(origin);
    assert.equal(await answerOf(session, '/'), 'hello');
    const idle = http2.connect(origin);
    assert.equal(await answerOf(idle, '/'), 'hello');
    const idleEnded = once(idle, 'close', soon());
    assert.equal(await closeWhileServing(server, session), 'late');
    await idleEnded;
  });
});

describe('serveHttp with HTTP/2 and HTTP/1 over TLS', { skip: skipWithout('openssl') }, () => {
  const fixture = new URL('../fixtures/https-worker.js', import.meta.url);
  it('serves both, and close() ends both in order', async () => {
    const { key, cert } = certificate();
    const server = createServer({
      worker: fixture,
      tcp: { host: '127.0.0.1' },
      workers: 1,
      workerData: { key, cert },
    });
    await server.listen();
    const insecure = { rejectUnauthorized: false };
    const origin = `https://127.0.0.1:${portOf(server)}`;
    const session = http2.connect(origin, insecure);
    assert.equal(await answerOf(session, '/'), '2.0');
    const agent = new https.Agent({ keepAlive: true, ...insecure });
    const ask = async (path: string) => {
      const request = https.get(origin + path, { agent });
      const answered = once(request, 'response', soon());
      await once(request, 'finish', soon());
      return async () => text((await answered)[0] as http.IncomingMessage);
    };
    assert.equal(await (await ask('/'))(), '1.1'); // its connection is idle from here on
    const busy = await ask('/slow');
    assert.equal(await closeWhileServing(server, session), '2.0');
    assert.equal(await busy(), '1.1');
    agent.destroy();
  });
});
