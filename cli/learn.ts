// freebsd-rss learn: computes the hash key of this host's network card from connections to a peer.
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { hashTypeNumber } from '../lib/contract.js';
import { isFailure } from '../lib/errors.js';
import { native, type RssConfigInput } from '../lib/native.js';
import { KeyLearner, type ObservedFlow } from '../lib/rss/key-learner.js';
import { plainHost } from '../lib/socket/host.js';
import { addressAndPort, type Command, parse, printJson, UsageError } from './command.js';
import { checkReceiveHash } from './receive-hash.js';

const usage = `Learns the hash key of the card by which this host reaches a peer.

  freebsd-rss learn HOST:PORT [--json]

  HOST:PORT   an address and TCP port that accepts connections
  --json      for programs

It connects there from at most 32 ports, one after another, and reads the id
that the card gives to each connection. Only root is shown the key: with it,
others can choose flows that meet in one queue. It holds for flows between the
same two addresses; a server learns more from the flows that it accepts.

On Linux, where drivers tell the key, it connects at most eight times and
holds the kernel's hash of each answer against that key.
Exit status: 0 the key predicts what the kernel has, 1 it does not.

Example:
  freebsd-rss flows --key "$(freebsd-rss learn 10.0.0.1:22)" --server ...
`;

const mostPorts = 32;
/** The key is known after this many correct predictions in a row. */
const enough = 5;
const timeoutMs = 3000;

/** Makes native functions report ids of all types as they are. */
const anyId: RssConfigInput = {
  source: 'card',
  bits: 0,
  hashAlgorithm: 'toeplitz',
  hashKey: new Uint8Array(40),
  tcpHash: '4-tuple',
  udpHash: '4-tuple',
  bucketMap: [0],
  card: { parts: [{ addresses: [], firstBucket: 0, buckets: 1, queueBucket: [] }] },
};

/** Connects once; the flow of the connection, as this host's card sees it. */
function connectOnce(host: string, port: number): Promise<ObservedFlow> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host, port, timeout: timeoutMs });
    const fail = (reason: string) => {
      socket.destroy();
      reject(new Error(`${host} port ${port}: ${reason}`));
    };
    socket.once('error', (error) => fail(error.message));
    socket.once('timeout', () => fail('no answer'));
    socket.once('connect', () => {
      const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
      const flow = native.socketFlow(fd, anyId);
      const ends = {
        peer: plainHost(socket.remoteAddress!).address,
        peerPort: socket.remotePort!,
        local: plainHost(socket.localAddress!).address,
        localPort: socket.localPort!,
      };
      socket.destroy();
      const told = !isFailure(flow) && flow.source === 'kernel';
      const numbers: Readonly<Record<string, number>> = hashTypeNumber;
      const hashType = told ? (numbers[flow.hashType] ?? 0) : 0;
      resolve({ transport: 'tcp', ...ends, flowId: told ? flow.flowId : 0, hashType });
    });
  });
}

/** What is learnt from flows, one at a time. */
export class Lesson {
  readonly #learner = new KeyLearner();
  connections = 0;
  withoutId = 0;
  /** Predictions in a row that came true. */
  right = 0;

  add(flow: ObservedFlow): void {
    this.connections++;
    if (flow.hashType === 0) this.withoutId++;
    const predicted = this.#learner.predict(flow);
    if (predicted !== undefined) this.right = predicted === flow.flowId ? this.right + 1 : 0;
    this.#learner.observe(flow);
  }

  get done(): boolean {
    return this.right >= enough;
  }

  /** Undefined until predictions have come true. */
  get key(): Uint8Array | undefined {
    return this.done ? this.#learner.solution() : undefined;
  }
}

/** Linux: whether hashes are by the key that the driver tells. */
async function check(address: string, port: number, json: boolean): Promise<number> {
  const { interface: name, checked } = await checkReceiveHash(address, port);
  const right = checked !== undefined && checked.byKey === checked.connections;
  if (json) printJson({ interface: name, ...checked });
  else if (checked === undefined) console.error(`${name}: its driver tells no hash key`);
  else {
    const { connections, byKey } = checked;
    const hint = right ? '' : '; ethtool -k shows whether receive-hashing is on';
    console.error(`${name}: ${byKey} of ${connections} hashes are by its key${hint}`);
  }
  return right ? 0 : 1;
}

async function run(args: string[]): Promise<number> {
  const { values, positionals } = parse({
    args,
    options: { json: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  const { address, port } = addressAndPort(positionals[0] ?? '');
  if (positionals.length !== 1 || port === undefined)
    throw new UsageError('learn needs one address and port');
  if (process.platform === 'linux') return check(address, port, values.json);
  const lesson = new Lesson();
  while (!lesson.done && lesson.connections < mostPorts) {
    lesson.add(await connectOnce(address, port));
    await sleep(0);
  }
  const { connections, withoutId, key } = lesson;
  const shown = process.getuid?.() === 0 && key !== undefined;
  const text = shown ? Buffer.from(key).toString('hex') : undefined;
  if (values.json) {
    printJson({ learnt: key !== undefined, key: text, connections, withoutId });
  } else {
    if (text !== undefined) console.log(text);
    console.error(
      key === undefined
        ? `nothing learnt from ${connections} connections, ${withoutId} of them without an id`
        : `learnt from ${connections} connections${shown ? '' : '; only root is shown the key'}`,
    );
  }
  return key === undefined ? 1 : 0;
}

export const learn: Command = { usage, run };
