// A client worker of `freebsd-rss load`: keeps its connections busy, in a closed loop or at a rate.
import { performance } from 'node:perf_hooks';
import { BroadcastChannel } from 'node:worker_threads';

import { defineWorker, slotOf, type WorkerContext } from 'freebsd-rss/worker';

import { drawSizes } from './distributions.js';
import { Lanes, newHistogram } from './lanes.js';
import { type ClientSettings, type Order, type Report, reportsOf, type Trial } from './messages.js';
import { Pacer } from './pacer.js';
import { MemcachedRequests, type Requests, requestsOf, WrongAnswer } from './requests.js';

const sweepEveryMs = 50;
const reconnectAfterMs = 100;
/** A UDP payload begins with the number of its request and `mark`. */
const headerSize = 8;
const mark = 0x52535300;

/** A client worker. */
class Client {
  readonly #context: WorkerContext;
  readonly #settings: ClientSettings;
  readonly #orders: BroadcastChannel;
  readonly #reports: BroadcastChannel;
  readonly #lanes: Lanes;
  readonly #pacer: Pacer;
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #isUdp: boolean;
  readonly #requests: Requests | undefined;
  readonly #sizes;
  /** The connection of each lane, and the lane of each connection by its slot. */
  readonly #connections: number[] = [];
  readonly #laneOf: number[] = [];
  #opened = 0;
  #trial = 0;
  #onReady: () => void = () => undefined;
  #onFailed: (error: Error) => void = () => undefined;
  #closing = false;

  constructor(context: WorkerContext) {
    this.#context = context;
    const settings = context.workerData as ClientSettings;
    this.#settings = settings;
    this.#isUdp = settings.target.protocol === 'udp';
    const { length: count } = this.#sources;
    const { depth } = settings;
    // Late UDP answers to requests that have timed out must be recognised.
    const window = 2 ** Math.ceil(Math.log2(this.#isUdp ? Math.max(1024, depth * 2) : depth * 2));
    this.#lanes = new Lanes(count, depth, window, !this.#isUdp);
    this.#sizes = drawSizes(settings.sizes);
    this.#requests = this.#isUdp
      ? undefined
      : requestsOf(context.streams, settings, this.#lanes.counts);
    this.#pacer = new Pacer(
      this.#lanes,
      this.#isUdp ? (lane, number) => this.#sendDatagram(lane, number) : (lane) => this.#send(lane),
      () => this.#report(true),
    );
    this.#reports = new BroadcastChannel(reportsOf(settings.channel, context.workerIndex));
    this.#orders = new BroadcastChannel(settings.channel);
    this.#orders.onmessage = (event) => {
      const { data } = event as { data: Order };
      if (data === 'stop') this.#pacer.stop();
      else this.#begin(data);
    };
  }

  get #sources() {
    return this.#settings.sources[this.#context.workerIndex]!;
  }

  async open(): Promise<void> {
    const ready = new Promise<void>((resolve, reject) => {
      this.#onReady = resolve;
      this.#onFailed = reject;
    });
    for (let lane = 0; lane < this.#sources.length; lane++) this.#connect(lane);
    if (this.#isUdp) this.#onReady();
    await ready;
    const locals = this.#connections.map((connection) => {
      const { address, port } = this.#isUdp
        ? this.#context.datagrams.localAddress(connection)!
        : this.#context.streams.addresses(connection).local!;
      return { address, port };
    });
    this.#post({ type: 'ready', locals });
    const { timeout } = this.#settings;
    const sweep = () => this.#pacer.sweep(performance.now() - timeout);
    this.#timers.push(setInterval(sweep, Math.min(sweepEveryMs, timeout)));
    this.#timers.push(setInterval(() => this.#report(false), 1000));
  }

  close(): void {
    this.#closing = true;
    for (const timer of this.#timers) clearInterval(timer);
    this.#orders.close();
    this.#reports.close();
    if (!this.#isUdp)
      for (const connection of this.#connections) this.#context.streams.out.destroy(connection);
  }

  #post(message: Report): void {
    this.#reports.postMessage({ worker: this.#context.workerIndex, ...message });
  }

  #connect(lane: number): void {
    const { address: host, port } = this.#settings.target;
    const options = { host, port, ...this.#sources[lane] };
    const connection = this.#isUdp
      ? this.#context.datagrams.connect(options)
      : this.#context.streams.connect(options);
    this.#connections[lane] = connection;
    this.#laneOf[slotOf(connection)] = lane;
  }

  #begin(trial: Trial): void {
    this.#trial = trial.number;
    this.#lanes.begin();
    const { workerIndex, workers } = this.#context;
    let most = Infinity;
    if (this.#requests instanceof MemcachedRequests) {
      const { keys } = this.#settings;
      if (trial.fill) most = Math.ceil((keys - workerIndex) / workers);
      this.#requests.fill(trial.fill ? workerIndex : undefined, workers);
    }
    this.#pacer.begin(trial, most, workerIndex / workers);
  }

  #report(last: boolean): void {
    if (!last && this.#pacer.trial === undefined) return;
    const { counts, latency, answers } = this.#lanes;
    // The receiver of a histogram also sees what is recorded after it was sent.
    this.#lanes.latency = newHistogram();
    const trial = this.#trial;
    if (last) this.#post({ type: 'answers', trial, byConnection: answers, lag: this.#pacer.lag });
    this.#post({ type: 'progress', trial, counts, latency, last });
  }

  // --- Connections -------------------------------------------------------------------------------

  #send(lane: number): void {
    this.#requests!.send(this.#context.streams.out, this.#connections[lane]!);
  }

  opened(): void {
    if (++this.#opened === this.#sources.length) this.#onReady();
  }

  received(bytes: Buffer, connection: number, offset: number, length: number, now: number) {
    const lane = this.#laneOf[slotOf(connection)]!;
    const end = offset + length;
    let at = offset;
    let needed = 0;
    try {
      while (at < end) {
        const answer = this.#requests!.answer(bytes, at, end);
        if (answer <= 0) {
          needed = -answer;
          break;
        }
        at += answer;
        this.#lanes.answeredNext(lane, now);
      }
    } catch (error) {
      if (!(error instanceof WrongAnswer)) throw error;
      this.#wrong(connection, error);
    }
    if (at > offset) this.#pacer.answered(lane, now);
    return { consumed: at - offset, needed };
  }

  #wrong(connection: number, { message }: WrongAnswer): void {
    if (this.#lanes.counts.wrong++ === 0) this.#post({ type: 'wrong', message });
    this.#context.streams.out.destroy(connection);
  }

  closed(connection: number, error: Error | undefined): void {
    if (this.#closing) return;
    const lane = this.#laneOf[slotOf(connection)]!;
    if (this.#opened < this.#sources.length) {
      this.#onFailed(error ?? new Error('the server closes connections'));
      return;
    }
    this.#lanes.counts.reconnects++;
    this.#lanes.down(lane);
    this.#reconnect(lane);
  }

  #reconnect(lane: number): void {
    setTimeout(() => {
      if (this.#closing) return;
      try {
        this.#connect(lane);
      } catch {
        return this.#reconnect(lane); // the source is still in use, or descriptors are exhausted
      }
      this.#lanes.up(lane);
      this.#pacer.answered(lane, performance.now());
    }, reconnectAfterMs);
  }

  // --- Datagrams ---------------------------------------------------------------------------------

  #sendDatagram(lane: number, number: number): void {
    const { out } = this.#context.datagrams;
    const size = this.#sizes.take();
    const at = out.reserve(size);
    out.bytes.writeUInt32LE(number % 2 ** 32, at);
    out.bytes.writeUInt32LE(mark + lane, at + 4);
    out.commitBy(this.#connections[lane]!, at, size);
  }

  datagram(bytes: Buffer, socket: number, offset: number, length: number, now: number): void {
    const lane = this.#laneOf[slotOf(socket)]!;
    if (length < headerSize || bytes.readUInt32LE(offset + 4) !== mark + lane) {
      this.#lanes.counts.wrong++;
      return;
    }
    this.#lanes.answered(lane, bytes.readUInt32LE(offset), now);
    this.#pacer.answered(lane, now);
  }
}

let client: Client;

export default defineWorker({
  start(context) {
    client = new Client(context);
    return client.open();
  },
  stream: {
    open: () => client.opened(),
    data(batch) {
      const now = performance.now();
      for (let i = 0; i < batch.count; i++) {
        const { consumed, needed } = client.received(
          batch.bytes,
          batch.connection(i),
          batch.offset(i),
          batch.length(i),
          now,
        );
        batch.consume(i, consumed, needed);
      }
    },
    close: (connection, error) => client.closed(connection, error),
  },
  datagrams(batch) {
    const now = performance.now();
    for (let i = 0; i < batch.count; i++)
      client.datagram(batch.bytes, batch.socket(i), batch.offset(i), batch.length(i), now);
  },
  stop: () => client.close(),
});
