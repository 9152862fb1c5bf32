// Watches sampled flows of a server that serves: of a network card, whether its ids say anything
// and what its key is; of a kernel with options RSS, whether ids are by the kernel's key.
import { affinity } from '../affinity.js';
import { native } from '../native.js';
import { readCardMap, readKeyBehind } from '../rss/card/host.js';
import type { RssConfig } from '../rss/config.js';
import type { LearntKey } from './admin.js';
import { CardWatch, observed } from './card-watch.js';
import { canCompare, FlowIdWatch } from './flow-id-watch.js';
import type { CheckedOptions } from './options.js';
import { hostsOf } from './plan.js';

export interface WatchedFlows {
  /** The bucket table that samples flows. */
  table: number;
  /** How many flows had no id. */
  withoutId(): number;
  /** The card has another map. False: the server does not follow it now. */
  moved(config: RssConfig): boolean;
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
    if (config.card === undefined) return;
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
  }
}
