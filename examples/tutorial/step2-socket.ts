// Step 2: the same sockets, on a worker for each CPU.
import { createInterface } from 'node:readline';

import { defineWorker } from 'freebsd-rss/worker';

export default defineWorker({
  connection(socket) {
    socket.on('error', () => socket.destroy());
    createInterface(socket).on('line', (line) => socket.write(`${Buffer.byteLength(line)}\n`));
  },
});
