// The memcached get and set that a Node user would write on node:net: strings, a Map, one write per
// chunk. node node-net.js PORT [HOST]
import net from 'node:net';

const newline = 10;
export const items = new Map<string, Buffer>();
const end = Buffer.from('END\r\n');
const stored = Buffer.from('STORED\r\n');
const error = Buffer.from('ERROR\r\n');

/** Answers the complete requests of `input`. Returns their length in bytes. */
function serve(input: Buffer, answers: Buffer[]): number {
  let at = 0;
  for (;;) {
    const stop = input.indexOf(newline, at);
    if (stop < 0) return at;
    const words = input.toString('latin1', at, stop - 1).split(' ');
    if (words[0] === 'get') {
      for (let i = 1; i < words.length; i++) {
        const item = items.get(words[i]!);
        if (item !== undefined) answers.push(item);
      }
      answers.push(end);
    } else if (words[0] === 'set') {
      const length = Number(words[4]);
      const next = stop + 1 + length + 2;
      if (input.length < next) return at;
      const head = `VALUE ${words[1]!} ${words[2]!} ${length}\r\n`;
      items.set(words[1]!, Buffer.concat([Buffer.from(head), input.subarray(stop + 1, next)]));
      answers.push(stored);
      at = next;
      continue;
    } else {
      answers.push(error);
    }
    at = stop + 1;
  }
}

export function serveClient(socket: net.Socket): void {
  let rest: Buffer | undefined;
  socket.on('data', (chunk) => {
    const input = rest === undefined ? chunk : Buffer.concat([rest, chunk]);
    const answers: Buffer[] = [];
    const taken = serve(input, answers);
    rest = taken < input.length ? input.subarray(taken) : undefined;
    if (answers.length > 0)
      socket.write(answers.length === 1 ? answers[0]! : Buffer.concat(answers));
  });
  socket.on('error', () => socket.destroy());
}

export function createMemcached(): net.Server {
  return net.createServer({ noDelay: true }, serveClient);
}

const [, script, port] = process.argv;
if (
  script !== undefined &&
  import.meta.url.endsWith('/node-net.js') &&
  script.endsWith('node-net.js')
)
  createMemcached().listen(Number(port), '127.0.0.1', () => console.log('ready'));
