// The memcached example, with a socket for injecting faults: see soak.ts.
import { rmSync } from 'node:fs';
import net from 'node:net';

import { RssServer } from 'freebsd-rss';

const control = process.env['SOAK_CONTROL']!;
const { listen } = RssServer.prototype;
RssServer.prototype.listen = async function (options) {
  await listen.call(this, options);
  // A successor takes the socket's name.
  rmSync(control, { force: true });
  const server = net.createServer((socket) => socket.on('data', (fault) => inject(this, fault)));
  server.listen(control).unref();
  return this;
};

function inject(server: RssServer, fault: Buffer): void {
  const any = (count: number) => Math.floor(Math.random() * count);
  if (!server.listening) return;
  if (fault.toString() === 'kill') void server.terminateWorker(any(server.workers.length));
  else
    try {
      server.rebalance(server.stats().buckets.map(() => any(server.workers.length)));
    } catch (error) {
      // No bucket moves during an upgrade.
      if ((error as { code?: string }).code !== 'ERR_RSS_STATE') throw error;
    }
}

await import('../../examples/memcached/main.js');
