// HTTP on a worker for each CPU. PORT in the environment is the port.
import { createServer } from 'freebsd-rss';

const server = createServer({
  worker: new URL('./worker.js', import.meta.url),
  tcp: { host: 'localhost', port: Number(process.env['PORT'] ?? 8080) },
});
await server.listen();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void server.close());

console.log(`http://localhost:${server.addresses[0]?.port}/, steering ${server.steering}`);
