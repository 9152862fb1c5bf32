// The web server of `top --http`: a live page, metrics and health of a running server. Read-only.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import { type AddressInfo, isIPv6 } from 'node:net';

import type { ServerSnapshot } from 'freebsd-rss';

import { prometheus } from '../prometheus.js';
import { page } from './page.js';
import { script } from './script.js';

/** A server that takes longer to answer is not healthy. */
const answerMs = 2000;

interface Answer {
  status: number;
  type: string;
  body: string;
}

const text = (status: number, body: string): Answer => ({ status, type: 'text/plain', body });

/** A file of uplot, which is an optional package: the page has no charts without it. */
function chartFile(name: string, type: string): Answer {
  try {
    const file = createRequire(import.meta.url).resolve(`uplot/dist/${name}`);
    return { status: 200, type, body: readFileSync(file, 'utf8') };
  } catch {
    return text(404, 'uplot is not installed\n');
  }
}

const files: Readonly<Record<string, () => Answer>> = {
  '/': () => ({ status: 200, type: 'text/html', body: page }),
  '/page.js': () => ({ status: 200, type: 'text/javascript', body: script }),
  '/uplot.js': () => chartFile('uPlot.iife.min.js', 'text/javascript'),
  '/uplot.css': () => chartFile('uPlot.min.css', 'text/css'),
};

const live: Readonly<Record<string, (now: ServerSnapshot) => Answer>> = {
  '/healthz': ({ pid }) => text(200, `process ${pid} answers\n`),
  '/metrics': (now) => ({ status: 200, type: 'text/plain; version=0.0.4', body: prometheus(now) }),
  '/snapshot': (now) => ({ status: 200, type: 'application/json', body: JSON.stringify(now) }),
};

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${ms} ms`)), ms);
  });
  return await Promise.race([work, late]).finally(() => clearTimeout(timer));
}

async function answerTo(url: string, snapshot: () => Promise<ServerSnapshot>): Promise<Answer> {
  if (Object.hasOwn(files, url)) return files[url]!();
  if (!Object.hasOwn(live, url)) return text(404, 'not found\n');
  try {
    return live[url]!(await within(answerMs, snapshot()));
  } catch (error) {
    return text(503, `${(error as Error).message}\n`);
  }
}

/**
 * Whether a request may be answered that has come to this address of the host. On loopback it has
 * to name the address, or localhost: a page of another site can make its own name resolve to it
 * (DNS rebinding), and would then read what only this host may. Other addresses are for others,
 * under any name.
 */
export function isForUs(host: string | undefined, localAddress: string): boolean {
  const own = localAddress.replace('::ffff:', '');
  if (!own.startsWith('127.') && own !== '::1') return true;
  const url = `http://${host ?? ''}/`;
  if (!URL.canParse(url)) return false;
  return ['localhost', isIPv6(own) ? `[${own}]` : own].includes(new URL(url).hostname);
}

async function answer(
  request: http.IncomingMessage,
  snapshot: () => Promise<ServerSnapshot>,
): Promise<Answer> {
  const { method, url = '/', headers, socket } = request;
  if (!isForUs(headers.host, socket.localAddress ?? ''))
    return text(421, 'only by address, or as localhost\n');
  return method === 'GET' || method === 'HEAD' ? answerTo(url, snapshot) : text(405, 'GET only\n');
}

/** Serves until the process ends. Returns where. */
export async function serve(
  address: string,
  port: number,
  snapshot: () => Promise<ServerSnapshot>,
): Promise<AddressInfo> {
  const server = http.createServer((request, response) => {
    void answer(request, snapshot).then(({ status, type, body }) => {
      response.writeHead(status, {
        'Content-Type': type.startsWith('text/plain;') ? type : `${type}; charset=utf-8`,
        'Content-Length': Buffer.byteLength(body),
        'Cache-Control': 'no-store',
        // The page contains its style, and loads nothing from elsewhere.
        'Content-Security-Policy':
          "default-src 'none'; connect-src 'self'; script-src 'self'; " +
          "style-src 'self' 'unsafe-inline'",
      });
      response.end(request.method === 'HEAD' ? '' : body);
    });
  });
  server.listen(port, address);
  await once(server, 'listening');
  return server.address() as AddressInfo;
}
