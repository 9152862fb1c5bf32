// UDP echo on RSS-aware workers: node dist/examples/udp-echo/main.js [port] [address]
// Prints the counts of all flows and buckets at its end, and on SIGINFO (^T on BSD).
import { BroadcastChannel } from 'node:worker_threads';

import { createServer } from 'freebsd-rss';

const [port = '7007', host = '127.0.0.1'] = process.argv.slice(2);
const server = createServer({
  worker: new URL('./worker.js', import.meta.url),
  udp: { port: Number(port), host, receiveBuffer: 4 << 20, sendBuffer: 4 << 20 },
});

const reports = new BroadcastChannel('udp-echo');

function report(): void {
  for (const row of server.stats().buckets)
    console.log(
      `bucket ${row.bucket}, CPU ${row.cpu}: ${row.datagramsIn} in, ${row.datagramsOut} out, ` +
        `${row.misdirected} misdirected`,
    );
}

await server.listen();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    process.removeAllListeners('SIGINFO');
    reports.close();
    void server.close().then(report);
  });
if (process.platform !== 'linux')
  process.on('SIGINFO', () => {
    reports.postMessage('print'); // the workers' flows
    report();
  });

console.log(`echoing on ${host}:${server.addresses[0]?.port}, steering ${server.steering}`);
