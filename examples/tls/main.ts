// TLS echo. Sessions that one worker has begun are resumed by any other.
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';

import { createServer } from 'freebsd-rss';

import { commandLine, hostAddress, portNumber, refuse, refuseAddress } from '../command-line.js';

const usage = 'node dist/examples/tls/main.js [KEY_FILE CERTIFICATE_FILE [PORT [ADDRESS]]]';
const [keyFile = 'key.pem', certificateFile = 'cert.pem', port = '7443', host = '127.0.0.1'] =
  commandLine(usage);
for (const file of [keyFile, certificateFile])
  if (!existsSync(file))
    refuse(
      `there is no ${file}; make key and certificate: openssl req -x509 -newkey rsa:2048 ` +
        `-nodes -subj /CN=localhost -keyout ${keyFile} -out ${certificateFile}`,
    );

const server = createServer({
  worker: new URL('./worker.js', import.meta.url),
  workerData: {
    key: readFileSync(keyFile),
    cert: readFileSync(certificateFile),
    // Session tickets are encrypted with these. By default every worker would have its own.
    ticketKeys: randomBytes(48),
  },
  tcp: { port: portNumber(port), host: await hostAddress(host) },
});
await server.listen().catch(refuseAddress);
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void server.close());

console.log(`TLS on ${host}:${server.addresses[0]?.port}, steering ${server.steering}`);
