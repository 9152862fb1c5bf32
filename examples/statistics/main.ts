// An HTTP server that prints, on SIGUSR2 and at its end, how long its requests took on all workers.
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';

import { createServer } from 'freebsd-rss';

import { commandLine, portNumber } from '../command-line.js';

const [port = '8080'] = commandLine('node dist/examples/statistics/main.js [PORT]');
const server = createServer({
  worker: new URL('./worker.js', import.meta.url),
  tcp: { port: portNumber(port), host: '127.0.0.1' },
});

// A worker sends what it has measured since its last message, so the parts add up.
const total = createHistogram();
let awaited = 0;

function print(): void {
  const us = (percent: number) => Math.round(total.percentile(percent) / 1000);
  console.log(`${total.count} requests, median ${us(50)} us, 99 % within ${us(99)} us`);
}

server.on('message', (message) => {
  total.add(message as RecordableHistogram);
  if (--awaited === 0) print();
});

await server.listen();
process.on('SIGUSR2', () => {
  awaited = server.workers.filter(({ online }) => online).length;
  server.post('report');
});
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void server.close().then(print));

console.log(`process ${process.pid} serves http://127.0.0.1:${server.addresses[0]!.port}/`);
