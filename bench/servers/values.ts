// Answers each line with the next of so many large values.
//
//   node values.js PORT SIZE net|auto|always|never HOST WORKERS VALUES
//
// net: sends by socket.write(). The others: the engine sends from a segment with that zeroCopy.
import net from 'node:net';

import { createServer } from 'freebsd-rss';

export interface ValueSet {
  length: number;
  values: number;
}

const newline = 10;
const [port, size, how, host = '', workers, count] = process.argv.slice(2);
const length = Number(size);
const values = Number(count);

function serveByWrite(): void {
  const all = Array.from({ length: values }, (_, i) => Buffer.alloc(length, 97 + (i % 26)));
  let next = 0;
  net
    .createServer({ noDelay: true }, (socket) => {
      socket.on('data', (chunk) => {
        for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, at + 1))
          socket.write(all[next++ % values]!);
      });
      socket.on('error', () => socket.destroy());
    })
    .listen(Number(port), host, () => console.log('ready'));
}

async function serveBySegment(zeroCopy: 'auto' | 'always' | 'never'): Promise<void> {
  const server = createServer({
    worker: new URL('./values-worker.js', import.meta.url),
    tcp: { port: Number(port), host },
    workers: Number(workers),
    stream: { zeroCopy },
    workerData: { length, values } satisfies ValueSet,
  });
  await server.listen();
  console.log('ready');
  process.once('SIGTERM', () => void server.close({ timeout: 0 }));
}

if (how === 'net') serveByWrite();
else await serveBySegment(how as 'auto' | 'always' | 'never');
