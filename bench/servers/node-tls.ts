// The server of node-net.ts on node:tls. node node-tls.js PORT KEY_FILE CERTIFICATE_FILE
import { readFileSync } from 'node:fs';
import tls from 'node:tls';

import { serveClient } from './node-net.js';

const [, , port, key, cert] = process.argv;
const files = { key: readFileSync(key!), cert: readFileSync(cert!) };
const server = tls.createServer({ ...files, noDelay: true }, serveClient);
server.on('tlsClientError', (_, socket) => socket.destroy());
server.listen(Number(port), '127.0.0.1', () => console.log('ready'));
