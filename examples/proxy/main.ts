// A TCP proxy.
import { createServer } from 'freebsd-rss';

import { commandLine, hostAddress, portNumber, refuse, refuseAddress } from '../command-line.js';
import type { ProxyOptions } from './worker.js';

const usage =
  'node dist/examples/proxy/main.js TARGET_PORT [TARGET_ADDRESS [PORT [ADDRESS [proxy-v1]]]]';
const args = commandLine(usage, 1);
const [targetPort, target = '127.0.0.1', port = '7008', host = '127.0.0.1', protocol] = args;
if (protocol !== undefined && protocol !== 'proxy-v1') refuse(`usage: ${usage}`);
const workerData: ProxyOptions = {
  host: await hostAddress(target),
  port: portNumber(targetPort!),
  namesClient: protocol === 'proxy-v1',
};
const server = createServer({
  worker: new URL('./worker.js', import.meta.url),
  workerData,
  tcp: { port: portNumber(port), host: await hostAddress(host) },
});
await server.listen().catch(refuseAddress);
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void server.close());

console.log(`${host}:${server.addresses[0]?.port} to ${target}:${targetPort}`);
