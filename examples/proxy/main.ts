// TCP proxy: node dist/examples/proxy/main.js TARGET_PORT [target address] [port] [address]
import { createServer } from 'freebsd-rss';

const [targetPort, target = '127.0.0.1', port = '7008', host = '127.0.0.1'] = process.argv.slice(2);
const server = createServer({
  worker: new URL('./worker.js', import.meta.url),
  workerData: { host: target, port: Number(targetPort) },
  tcp: { port: Number(port), host },
});
await server.listen();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void server.close());

console.log(`${host}:${server.addresses[0]?.port} to ${target}:${targetPort}`);
