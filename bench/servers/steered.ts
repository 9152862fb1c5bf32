// A server with the steering, hand-off and worker module of its command line.
// node steered.js PORT tcp|udp STEERING HANDOFF WORKERS MODULE HOST [UDP [OWNER]]
//
// UDP: more options of `udp`, as JSON. OWNER: the worker that gets all buckets.
import { createServer, type ServerOptions } from 'freebsd-rss';

const [port, protocol, steering, handoff, workers, module, host = '', udp = '{}', owner] =
  process.argv.slice(2);
const endpoint = { port: Number(port), host };
const buffers = { receiveBuffer: 4 << 20, sendBuffer: 4 << 20 };
const udpOptions = { ...endpoint, ...buffers, ...(JSON.parse(udp) as object) };
const server = createServer({
  worker: new URL(`./${module}.js`, import.meta.url),
  ...(protocol === 'tcp' ? { tcp: endpoint } : { udp: udpOptions }),
  steering: steering as NonNullable<ServerOptions['steering']>,
  handoff: handoff as NonNullable<ServerOptions['handoff']>,
  workers: Number(workers),
});
await server.listen();
if (owner !== undefined) server.rebalance(server.stats().buckets.map(() => Number(owner)));
console.log('ready');
process.once('SIGTERM', () => void server.close({ timeout: 0 }));
