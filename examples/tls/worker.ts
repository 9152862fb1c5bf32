// An accepted connection is an ordinary socket: node:tls, or any other library, works on it.
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls';

import { defineWorker } from 'freebsd-rss/worker';

let secureContext: SecureContext;

export default defineWorker({
  start({ workerData }) {
    const { key, cert, ticketKeys } = workerData as Record<string, Uint8Array>;
    secureContext = createSecureContext({
      key: Buffer.from(key!),
      cert: Buffer.from(cert!),
      ticketKeys: Buffer.from(ticketKeys!),
    });
  },
  connection(socket) {
    const secure = new TLSSocket(socket, { isServer: true, secureContext });
    secure.on('error', () => secure.destroy());
    secure.pipe(secure);
  },
});
