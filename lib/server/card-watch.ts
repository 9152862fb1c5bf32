// Follows the network cards while a server serves: whether their map still holds, whether their ids
// say anything, and what their key is. Hot paths have no part in it: workers send samples of flows.
import { isDeepStrictEqual } from 'node:util';

import { native } from '../native.js';
import type { CardMap, NoCardMap } from '../rss/card/map.js';
import { whyUseless } from '../rss/card/ids.js';
import type { RssConfig } from '../rss/config.js';
import { KeyLearner, mostSamples, type ObservedFlow } from '../rss/key-learner.js';
import { addressWords, tupleWords } from '../rss/tuple.js';

const rereadEveryMs = 60_000;
/** A flow may take the learner 0.1 s, so each gets a turn of the event loop of its own. */
const learnEveryMs = 250;

/** What the watch reads, and what follows from it. */
export interface WatchedCard {
  readMap(): CardMap | NoCardMap | undefined;
  /** Asks the workers for this many samples. */
  sample(count: number): void;
  /** The key of the cards has been learnt. */
  learnt(key: Uint8Array, udp4Tuple: boolean): void;
  /** The map is another one, with the same buckets. */
  moved(config: RssConfig): void;
  /** The ids say nothing: flows are hashed in software from now on. */
  useless(config: RssConfig): void;
  warning(message: string, code: string): void;
}

/** Whether flows are of the same buckets by both maps. */
const sameBuckets = (a: CardMap, b: CardMap) =>
  a.buckets === b.buckets && isDeepStrictEqual(a.queueBucket, b.queueBucket);

/** Whether a key gives a flow its id, over all fields or over its addresses. */
function fits(key: Uint8Array, flow: ObservedFlow): boolean {
  const words = tupleWords(flow);
  const bytes = Buffer.alloc(words.length * 4);
  words.forEach((word, i) => bytes.writeUInt32BE(word, i * 4));
  const addresses = bytes.subarray(0, addressWords(words) * 4);
  return [bytes, addresses].some((input) => native.toeplitz(key, input) === flow.flowId);
}

export class CardWatch {
  readonly #server: WatchedCard;
  readonly #learner = new KeyLearner();
  readonly #reread: NodeJS.Timeout;
  readonly #withoutId = new Map<number, number>();
  #config: RssConfig;
  #card: CardMap;
  /** The key that the driver told or the user gave, until a flow contradicts it. */
  #exact: Uint8Array | undefined;
  #known: Uint8Array | undefined;
  #seen: ObservedFlow[] = [];
  #waiting: ObservedFlow[] = [];
  #learning: NodeJS.Timeout | undefined;
  #udp4Tuple = true;
  #judged = false;
  #away = false;
  #warned = false;

  constructor(config: RssConfig, card: CardMap, server: WatchedCard) {
    this.#config = config;
    this.#card = card;
    this.#server = server;
    this.#exact = config.hashKeyReadable ? config.hashKey : undefined;
    this.#reread = setInterval(() => this.reread(), rereadEveryMs).unref();
  }

  close(): void {
    clearInterval(this.#reread);
    clearTimeout(this.#learning);
  }

  /** Connections and datagrams that came without an id. */
  get withoutId(): number {
    return [...this.#withoutId.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Samples of a worker, and how many flows without an id it has had since its start. */
  add(workerIndex: number, flows: readonly ObservedFlow[], withoutId: number): void {
    this.#withoutId.set(workerIndex, withoutId);
    const taken = flows.slice(0, mostSamples - this.#seen.length);
    this.#seen.push(...taken);
    this.#waiting.push(...taken);
    this.#judge();
    if (this.#config.source === 'card' && this.#card.opaque === 'hash') this.#schedule();
  }

  /** Compares the map with what the host says now. */
  reread(): void {
    if (this.#config.source !== 'card') return;
    const map = this.#server.readMap();
    if (map?.source !== 'card') {
      this.#away = true; // the interface may come back
      return;
    }
    const changed = !isDeepStrictEqual(map, this.#card);
    // An interface that has been initialised anew has another key.
    const fresh = this.#away || changed;
    this.#away = false;
    if (changed && sameBuckets(map, this.#card)) {
      this.#card = map;
      this.#config = { ...this.#config, card: map, bucketMap: map.workerCpu };
      this.#server.moved(this.#config);
    } else if (changed && !this.#warned) {
      this.#warned = true;
      const { interfaces, buckets } = map;
      const message =
        `${interfaces.join(', ')}: ${buckets} buckets instead of ${this.#card.buckets}; ` +
        'restart the server to follow them';
      this.#server.warning(message, 'RSS_CARD_CHANGED');
    }
    this.#seen = [];
    this.#server.sample(fresh ? mostSamples : 1);
  }

  /** Learns from one flow. */
  learn(): void {
    const flow = this.#waiting.shift();
    if (flow === undefined) return;
    if (this.#exact !== undefined && fits(this.#exact, flow)) return this.#schedule();
    if (this.#exact !== undefined) this.#exact = undefined;
    if (this.#learner.observe(flow) === 'contradicted') this.#server.sample(mostSamples);
    if (flow.transport === 'udp') this.#udp4Tuple = this.#learner.meaning(flow) !== '2-tuple';
    const key = this.#learner.solution();
    if (key !== undefined && !isDeepStrictEqual(key, this.#known)) {
      this.#known = key;
      this.#server.learnt(key, this.#udp4Tuple);
    }
    this.#judge();
    this.#schedule();
  }

  #schedule(): void {
    if (this.#learning !== undefined || this.#waiting.length === 0) return;
    this.#learning = setTimeout(() => {
      this.#learning = undefined;
      this.learn();
    }, learnEveryMs).unref();
  }

  #judge(): void {
    if (this.#judged || this.#config.source !== 'card') return;
    const unlearnt = this.#waiting.length > 0;
    const known = this.#exact !== undefined || unlearnt || this.#learner.state().knownBits > 0;
    const reason = whyUseless(this.#seen, this.withoutId, this.#card, known);
    if (reason === undefined) {
      this.#judged = this.#seen.length === mostSamples && !unlearnt;
      return;
    }
    const { card: _, ...rest } = this.#config;
    const text = `${this.#card.interfaces.join(', ')}: ${reason}`;
    this.#config = { ...rest, source: 'virtual', reason: text };
    this.#waiting = [];
    this.#server.useless(this.#config);
    this.#server.warning(`buckets are virtual: ${text}`, 'RSS_CARD_IDS');
  }
}
