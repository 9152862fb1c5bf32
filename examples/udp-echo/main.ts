// UDP echo on RSS-aware workers. Prints the counts of all flows and buckets at its end, and on
// SIGINFO (^T on BSD).
import { createServer } from 'freebsd-rss';

import { commandLine, hostAddress, portNumber, refuseAddress } from '../command-line.js';

const usage = 'node dist/examples/udp-echo/main.js [PORT [ADDRESS]]';
const [port = '7007', host = '127.0.0.1'] = commandLine(usage);
const server = createServer({
  worker: new URL('./worker.js', import.meta.url),
  udp: {
    port: portNumber(port),
    host: await hostAddress(host),
    receiveBuffer: 4 << 20,
    sendBuffer: 4 << 20,
  },
});

function report(): void {
  for (const row of server.stats().buckets)
    console.log(
      `bucket ${row.bucket}, CPU ${row.cpu}: ${row.datagramsIn} in, ${row.datagramsOut} out, ` +
        `${row.misdirected} misdirected, ${row.datagramsForwarded} forwarded`,
    );
}

await server.listen().catch(refuseAddress);
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    process.removeAllListeners('SIGINFO');
    void server.close().then(report);
  });
if (process.platform !== 'linux')
  process.on('SIGINFO', () => {
    server.post('print'); // the workers' flows
    report();
  });

console.log(`echoing on ${host}:${server.addresses[0]?.port}, steering ${server.steering}`);
