// HTTP on RSS-aware workers: node dist/examples/http/main.js [port] [address]
import { createServer } from 'freebsd-rss';

const [port = '8080', host = '127.0.0.1'] = process.argv.slice(2);
const server = createServer({
  worker: new URL('./worker.js', import.meta.url),
  tcp: { port: Number(port), host },
});
await server.listen();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void server.close());

console.log(`http://${host}:${server.addresses[0]?.port}/, steering ${server.steering}`);
