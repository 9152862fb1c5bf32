// Step 1: node:net, on one thread. Answers every line with its length in bytes.
import { createServer, type AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';

import { commandLine, portNumber } from '../command-line.js';

const [port = '7007'] = commandLine('node dist/examples/tutorial/step1-net.js [PORT]');
const server = createServer((socket) => {
  socket.on('error', () => socket.destroy());
  createInterface(socket).on('line', (line) => socket.write(`${Buffer.byteLength(line)}\n`));
});
server.listen(portNumber(port), 'localhost', () => {
  console.log(`localhost:${(server.address() as AddressInfo).port}, 1 thread`);
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => server.close());
