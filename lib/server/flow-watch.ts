// Watches sampled flows of a server that serves: of a network card, whether its ids say anything
// and what its key is; of a kernel with options RSS, whether ids are by the kernel's key.
import { affinity } from '../affinity.js';
import { isFailure } from '../errors.js';
import { native } from '../native.js';
import { readCardMap, readKeyBehind } from '../rss/card/host.js';
import type { RssConfig } from '../rss/config.js';
import type { LearntKey } from './admin.js';
import { CardWatch, observed } from './card-watch.js';
import { canCompare, FlowIdWatch } from './flow-id-watch.js';
import type { CheckedOptions } from './options.js';
import { hostsOf, planWithCard, type ServerPlan } from './plan.js';

const lookEveryMs = 60_000;

export interface WatchedFlows {
  /** The bucket table that samples flows. */
  table: number;
  /** How many flows had no id. */
  withoutId(): number;
  /** The card has another map. False: the server does not follow it now. */
  moved(config: RssConfig): boolean;
  plan(): ServerPlan;
  /** The server has begun without a card, and has one now. False: it does not follow it now. */
  gained(plan: ServerPlan): boolean;
  /** The configuration says more of the card; the map is the same. */
  judged(config: RssConfig): void;
  /** Of the kernel's flow ids, how many were compared and how many of these differ. */
  compared(flows: number, wrong: number): void;
  warning(message: string, code: string): void;
}

export class FlowWatch {
  readonly #watch: CardWatch | FlowIdWatch | undefined;
  /** By local address. */
  readonly #keys = new Map<string, LearntKey>();
  readonly #search: NodeJS.Timeout | undefined;

  constructor(config: RssConfig, options: CheckedOptions, server: WatchedFlows) {
    const { table, warning } = server;
    const samples = {
      samples: () => native.takeFlowSamples(table).map(observed),
      want: (count: number) => native.wantFlowSamples(table, count),
    };
    if (canCompare(config)) {
      const compared = (flows: number, wrong: number) => server.compared(flows, wrong);
      this.#watch = new FlowIdWatch(config, { ...samples, compared, warning });
    }
    if (config.card === undefined) {
      if (mayGainCard(config, options)) this.#search = searchCard(options, server);
      return;
    }
    const hosts = hostsOf(options.endpoints);
    const { interface: only, cpus } = options;
    this.#watch = new CardWatch(config, config.card, {
      ...samples,
      warning,
      readMap: () =>
        readCardMap({ hosts, interface: only, allowedCpus: cpus ?? affinity.process() }),
      exactKey: readKeyBehind,
      withoutId: () => server.withoutId(),
      learnt: (local, key, udp4Tuple) => {
        const udpHash = udp4Tuple ? '4-tuple' : '2-tuple';
        this.#keys.set(local, { local, key: Buffer.from(key).toString('hex'), udpHash });
        native.setCardKey(table, local, key, udp4Tuple);
      },
      moved: (moved) => server.moved(moved),
      judged: (judged, final) => {
        server.judged(judged);
        if (final) native.ignoreFlowIds(table);
      },
    });
  }

  /** What has been learnt of cards so far. */
  get keys(): LearntKey[] {
    return [...this.#keys.values()];
  }

  close(): void {
    this.#watch?.close();
    clearInterval(this.#search);
  }
}

/** Whether the system describes its cards, and none of them was of use. */
function mayGainCard({ source }: RssConfig, options: CheckedOptions): boolean {
  const open = source === 'virtual' && options.source === 'auto';
  return open && !isFailure(native.networkInterfaces());
}

/** Looks for a card that places flows: an interface may come up after the server. */
function searchCard(options: CheckedOptions, server: WatchedFlows): NodeJS.Timeout {
  const look = () => {
    const plan = planWithCard(server.plan(), options);
    if (plan !== undefined) server.gained(plan);
  };
  return setInterval(look, lookEveryMs).unref();
}
