// TLS echo: node dist/examples/tls/main.js KEY_FILE CERTIFICATE_FILE [port] [address]
import { readFileSync } from 'node:fs';

import { createServer } from 'freebsd-rss';

const [keyFile = 'key.pem', certificateFile = 'cert.pem', port = '7443', host = '127.0.0.1'] =
  process.argv.slice(2);
const server = createServer({
  worker: new URL('./worker.js', import.meta.url),
  workerData: { key: readFileSync(keyFile), cert: readFileSync(certificateFile) },
  tcp: { port: Number(port), host },
});
await server.listen();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void server.close());

console.log(`TLS on ${host}:${server.addresses[0]?.port}, steering ${server.steering}`);
