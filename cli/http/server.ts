// The web server of `top --http`: a live page, metrics and health of a running server. Read-only.
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

import type { ServerSnapshot } from 'freebsd-rss';

import { prometheus } from '../prometheus.js';
import { page } from './page.js';

/** A server that takes longer to answer is not healthy. */
const answerMs = 2000;

interface Answer {
  status: number;
  type: string;
  body: string;
}

const text = (status: number, body: string): Answer => ({ status, type: 'text/plain', body });

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${ms} ms`)), ms);
  });
  return await Promise.race([work, late]).finally(() => clearTimeout(timer));
}

async function answerTo(url: string, snapshot: () => Promise<ServerSnapshot>): Promise<Answer> {
  if (url === '/') return { status: 200, type: 'text/html', body: page };
  if (!['/snapshot', '/metrics', '/healthz'].includes(url)) return text(404, 'not found\n');
  try {
    const now = await within(answerMs, snapshot());
    if (url === '/healthz') return text(200, `process ${now.pid} answers\n`);
    if (url === '/metrics')
      return { status: 200, type: 'text/plain; version=0.0.4', body: prometheus(now) };
    return { status: 200, type: 'application/json', body: JSON.stringify(now) };
  } catch (error) {
    return text(503, `${(error as Error).message}\n`);
  }
}

/** Serves until the process ends. Returns where. */
export async function serve(
  address: string,
  port: number,
  snapshot: () => Promise<ServerSnapshot>,
): Promise<AddressInfo> {
  const server = http.createServer((request, response) => {
    const { method, url = '/' } = request;
    const known = method === 'GET' || method === 'HEAD';
    const answer = known ? answerTo(url, snapshot) : Promise.resolve(text(405, 'GET only\n'));
    void answer.then(({ status, type, body }) => {
      response.writeHead(status, {
        'Content-Type': type.startsWith('text/plain;') ? type : `${type}; charset=utf-8`,
        'Content-Length': Buffer.byteLength(body),
        'Cache-Control': 'no-store',
        // The page contains its script and style, and loads nothing else.
        'Content-Security-Policy':
          "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; " +
          "style-src 'unsafe-inline'",
      });
      response.end(method === 'HEAD' ? '' : body);
    });
  });
  server.listen(port, address);
  await once(server, 'listening');
  return server.address() as AddressInfo;
}
