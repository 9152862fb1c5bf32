// Compares flow ids of a kernel with options RSS with our own hash by its key, a few each second. A
// card with a key of its own, and one that hashes other fields, leads flows to CPUs that the
// kernel's map does not name.
import { native } from '../native.js';
import type { RssConfig } from '../rss/config.js';
import { flowIdRemedies, judgeFlowId } from '../rss/flow-id.js';
import type { ObservedFlow } from '../rss/key-learner.js';

const turnEveryMs = 1000;
const flowsPerTurn = 4;

export interface FlowIdSource {
  /** Flows that have been sampled since the last call. */
  samples(): ObservedFlow[];
  /** Asks for this many more. */
  want(count: number): void;
  /** How many were compared, and how many of these differ. */
  compared(flows: number, wrong: number): void;
  warning(message: string, code: string): void;
}

/** Whether ids can be compared: root alone may read the kernel's key. */
export const canCompare = ({ source, hashKeyReadable, hashAlgorithm }: RssConfig) =>
  source === 'kernel' && hashKeyReadable && hashAlgorithm === 'toeplitz';

export class FlowIdWatch {
  readonly #config: Pick<RssConfig, 'hashKey' | 'udpHash'>;
  readonly #source: FlowIdSource;
  readonly #timer: NodeJS.Timeout;
  #warned = false;

  constructor(config: Pick<RssConfig, 'hashKey' | 'udpHash'>, source: FlowIdSource) {
    this.#config = config;
    this.#source = source;
    this.#timer = setInterval(() => this.turn(), turnEveryMs).unref();
    source.want(flowsPerTurn);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  turn(): void {
    const { hashKey, udpHash } = this.#config;
    let [flows, wrong] = [0, 0];
    for (const flow of this.#source.samples()) {
      const verdict = judgeFlowId(flow, hashKey, udpHash);
      if (verdict === undefined) continue;
      flows++;
      if (verdict === 'right') continue;
      wrong++;
      if (!this.#warned)
        this.#source.warning(
          `${flow.transport} from ${flow.peer} port ${flow.peerPort} to ${flow.local} port ` +
            `${flow.localPort} has flow id 0x${flow.flowId.toString(16).padStart(8, '0')} ` +
            `(${native.hashTypeName(flow.hashType)}), not the hash by the kernel's key: ` +
            flowIdRemedies[verdict],
          'RSS_FLOW_ID',
        );
      this.#warned = true;
    }
    if (flows > 0) this.#source.compared(flows, wrong);
    this.#source.want(flowsPerTurn);
  }
}
