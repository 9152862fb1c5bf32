// FreeBSD: what doctor and watch read of a network card.
import type { CardFacts } from '../lib/rss/card/drivers.js';
import { queuesOf, receiveInterrupts } from '../lib/rss/card/queues.js';
import { existing, printed, sysctlValue } from './programs.js';

export interface CardTexts {
  /** Queues and interrupts. */
  facts: CardFacts;
  /** Those of flowControlNames that the driver has, below dev.igb.0. */
  flowControl: Readonly<Record<string, string>>;
  /** dev.igb.0.%domain */
  domain: string | undefined;
  /** ifconfig igb0 */
  ifconfig: string;
  /** cpuset -g -x IRQ, by interrupt. */
  masks: Readonly<Record<number, string>>;
}

/**
 * Values of flow control, of which bit 0 and 1 turn it on: `fc` of Intel's drivers ("3", and of ice
 * "3<Full>"), `pause_settings` of cxgbe ("7<RX,TX,AUTO>"), and two of bnxt, whose `fc` is a node.
 */
const flowControlNames = ['fc', 'pause_settings', 'fc.rx', 'fc.tx'];

/** cpuset -g -x IRQ: "irq 25 mask: 0, 1". Undefined: no such line. */
export function parseMask(text: string): number[] | undefined {
  const cpus = /^irq \d+ mask: ([\d, ]+)$/m.exec(text)?.[1];
  return cpus?.split(',').map(Number);
}

/** `name`: as ifconfig(8) has it. */
export function readCardTexts(name: string, facts: CardFacts): CardTexts {
  const own = (value: string) => sysctlValue(`dev.${facts.driver}.${facts.unit}.${value}`);
  const masks = receiveInterrupts(facts, queuesOf(facts)).flatMap(({ irq }) => {
    const mask = printed('cpuset', '-g', '-x', `${irq}`);
    return mask === undefined ? [] : [[irq, mask] as const];
  });
  return {
    facts,
    flowControl: existing(flowControlNames, own),
    domain: own('%domain'),
    ifconfig: printed('ifconfig', name) ?? '',
    masks: Object.fromEntries(masks),
  };
}
