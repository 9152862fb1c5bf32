// TCP echo: node dist/examples/echo/main.js [port] [address] [batches|lines]
import { createServer } from 'freebsd-rss';

const [port = '7007', host = '127.0.0.1', form = 'batches'] = process.argv.slice(2);
const server = createServer({
  worker: new URL(`./${form}.js`, import.meta.url),
  tcp: { port: Number(port), host },
});
await server.listen();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void server.close());

console.log(`echoing on ${host}:${server.addresses[0]?.port}, steering ${server.steering}`);
