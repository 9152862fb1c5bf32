// Follows the network cards while a server serves: whether their map still holds, whether their ids
// say anything, and what their key is. Workers only sample some flows; all else is done here.
import { isDeepStrictEqual } from 'node:util';

import type { RecordedNativeFlow } from '../native.js';
import { whyUseless } from '../rss/card/ids.js';
import type { CardMap, NoCardMap } from '../rss/card/map.js';
import { type RssConfig, withBuckets } from '../rss/config.js';
import { hashesOf } from '../rss/flow-id.js';
import { KeyLearner, mostSamples, type ObservedFlow } from '../rss/key-learner.js';

const rereadEveryMs = 60_000;
const turnEveryMs = 250;
/** A flow may take the learner 0.1 s. After this time, other flows wait for the next turn. */
const learnForMs = 20;

/** What the watch reads, and what follows from it. */
export interface WatchedCard {
  readMap(): CardMap | NoCardMap | undefined;
  /** Flows that have been sampled since the last call. */
  samples(): ObservedFlow[];
  /** Asks for this many more. */
  want(count: number): void;
  /** The key that the driver of the card behind a local address tells. */
  exactKey(local: string): Uint8Array | undefined;
  /** How many connections and datagrams had no id. */
  withoutId(): number;
  /** The key of the card behind a local address has been learnt, or more of it. */
  learnt(local: string, key: Uint8Array, udp4Tuple: boolean): void;
  /** The map is another one, over the same number of buckets. False: the server keeps the old. */
  moved(config: RssConfig): boolean;
  /**
   * The source is another one. `final`: ids say nothing, and flows are hashed in software from now
   * on. Otherwise there have been no ids so far.
   */
  judged(config: RssConfig, final: boolean): void;
  warning(message: string, code: string): void;
}

/** A flow as the addon reports it. */
export function observed({
  transport,
  peer,
  local,
  flowId,
  hashType,
}: RecordedNativeFlow & { transport: 'tcp' | 'udp' }): ObservedFlow {
  const ends = { peer: peer.address, peerPort: peer.port };
  return { transport, ...ends, local: local.address, localPort: local.port, flowId, hashType };
}

/** Whether a key gives a flow its id, over all fields or over its addresses. */
function fits(key: Uint8Array, flow: ObservedFlow): boolean {
  return Object.values(hashesOf(key, flow)).includes(flow.flowId);
}

/** What is known of the key of the card behind a local address. */
interface Lesson {
  learner: KeyLearner;
  /** What the driver told or the user gave, until a flow contradicts it. */
  exact: Uint8Array | undefined;
  known: Uint8Array | undefined;
  /** Flows in a row that contradict the exact key. */
  misfits: number;
  udp4Tuple: boolean;
}

/** One id may be wrong; this many in a row mean another key. */
const mostMisfits = 3;

/** Local addresses for which keys are learnt. */
const mostAddresses = 16;

export class CardWatch {
  readonly #server: WatchedCard;
  /** By local address: each card has a key of its own. */
  readonly #lessons = new Map<string, Lesson>();
  readonly #timers: NodeJS.Timeout[];
  #config: RssConfig;
  #card: CardMap;
  /** Flows of the present map, and those of them that wait to be learnt from. */
  #seen: ObservedFlow[] = [];
  #waiting: ObservedFlow[] = [];
  /** There have been flows, but none with an id. */
  #silent = false;
  #away = false;

  constructor(config: RssConfig, card: CardMap, server: WatchedCard) {
    this.#config = config;
    this.#card = card;
    this.#server = server;
    this.#timers = [
      setInterval(() => this.turn(), turnEveryMs),
      setInterval(() => this.reread(), rereadEveryMs),
    ];
    for (const timer of this.#timers) timer.unref();
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
  }

  /** Takes what has been sampled, and learns from some flows. */
  turn(): void {
    const fresh = this.#server.samples();
    if (this.#seen.length + fresh.length > mostSamples) this.#seen = [];
    this.#seen.push(...fresh);
    // More flows than can be learnt from are not kept.
    const room = mostSamples - this.#waiting.length;
    if (this.#card.opaque === 'hash') this.#waiting.push(...fresh.slice(0, room));
    const end = performance.now() + learnForMs;
    do {
      const flow = this.#waiting.shift();
      if (flow === undefined) break;
      this.#learn(flow);
    } while (performance.now() < end);
    this.#judge();
  }

  /** Compares the map with what the host says now. */
  reread(): void {
    const map = this.#server.readMap();
    if (map?.source !== 'card') {
      this.#away = true; // the interface may come back
      return;
    }
    const config = withBuckets({ ...this.#config, card: map }, this.#config.buckets);
    const changed = !isDeepStrictEqual(config.card, this.#card);
    // An interface that has been initialised anew has another key.
    const anew = this.#away || changed;
    this.#away = false;
    if (changed && this.#server.moved(config)) {
      this.#card = config.card!;
      this.#config = config;
      this.#seen = [];
      this.#silent = false; // the queues that are used now may give ids
    }
    if (anew) for (const [local, lesson] of this.#lessons) this.#askDriver(local, lesson);
    this.#server.want(anew ? mostSamples : 1);
  }

  #askDriver(local: string, lesson: Lesson): void {
    lesson.exact = this.#server.exactKey(local) ?? lesson.exact;
    lesson.misfits = 0;
    if (lesson.exact === undefined || isDeepStrictEqual(lesson.exact, lesson.known)) return;
    lesson.known = lesson.exact;
    this.#server.learnt(local, lesson.exact, lesson.udp4Tuple);
  }

  #lessonOf(local: string): Lesson | undefined {
    const found = this.#lessons.get(local);
    if (found !== undefined || this.#lessons.size === mostAddresses) return found;
    const { hashKeyReadable, hashKey } = this.#config;
    const exact = hashKeyReadable ? hashKey : undefined;
    const learner = new KeyLearner();
    const lesson: Lesson = { learner, exact, known: exact, misfits: 0, udp4Tuple: true };
    this.#lessons.set(local, lesson);
    // Of several cards, each may have a key of its own.
    if (exact === undefined) this.#askDriver(local, lesson);
    return lesson;
  }

  #learn(flow: ObservedFlow): void {
    const { local } = flow;
    const lesson = this.#lessonOf(local);
    if (lesson === undefined) return;
    if (lesson.exact !== undefined && fits(lesson.exact, flow)) {
      lesson.misfits = 0;
      return;
    }
    const { learner } = lesson;
    if (learner.observe(flow) === 'contradicted') this.#server.want(mostSamples);
    if (lesson.exact !== undefined) {
      const refuted = ++lesson.misfits === mostMisfits;
      this.#server.want(refuted ? mostSamples : mostMisfits);
      if (!refuted) return;
      lesson.exact = undefined;
    }
    if (flow.transport === 'udp') lesson.udp4Tuple = learner.meaning(flow) !== '2-tuple';
    const key = learner.solution();
    if (key === undefined || isDeepStrictEqual(key, lesson.known)) return;
    lesson.known = key;
    this.#server.learnt(local, key, lesson.udp4Tuple);
  }

  #judge(): void {
    const unlearnt = this.#waiting.length > 0 || this.#lessons.size === 0;
    const lessons = [...this.#lessons.values()];
    const hashes = unlearnt || lessons.some(({ exact, known }) => (exact ?? known) !== undefined);
    const reason = whyUseless(this.#seen, this.#server.withoutId(), this.#card, hashes);
    if (reason === undefined) {
      if (this.#silent) this.#server.judged(this.#config, false);
      this.#silent = false;
      return;
    }
    // Flows of this host have no ids. Others may come later.
    const final = this.#seen.length > 0;
    if (final) this.close();
    else if (this.#silent) return;
    this.#silent = true;
    const text = `${this.#card.interfaces.join(', ')}: ${reason}`;
    this.#server.judged({ ...this.#config, source: 'virtual', reason: text }, final);
    this.#server.warning(`buckets are virtual: ${text}`, 'RSS_CARD_IDS');
  }
}
