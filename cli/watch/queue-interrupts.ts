// The interrupts of receive queues, and the CPUs where they may run.
import { queuesOf, receiveInterrupts as ofCard } from '../../lib/rss/card/queues.js';
import { receiveInterrupts } from '../../lib/server/receive-cpus.js';
import { parseMask } from '../card-texts.js';
import type { Facts } from '../facts.js';

export interface QueueInterrupt {
  /** As ifconfig(8) or ip(8) names it. */
  card: string;
  irq: number;
  /** CPUs where it runs, and where it may run. */
  cpus: readonly number[];
  allowed: readonly number[];
  /** Whether its packets go on to other CPUs (RPS). */
  steered: boolean;
  /** The command that moves it and the work of its queue; undefined: there is none. */
  move: ((cpu: number) => string) | undefined;
}

/** FreeBSD: from hw.intrs, and from the masks that cpuset(1) prints. */
export function freebsdQueues({ cards }: Pick<Facts, 'cards'>): QueueInterrupt[] {
  return cards.flatMap(({ name, texts }) => {
    if (texts === undefined) return [];
    const { facts, masks } = texts;
    const queues = queuesOf(facts);
    return ofCard(facts, queues).map(({ irq, cpu }) => ({
      ...{ card: name, irq, cpus: [cpu], allowed: parseMask(masks[irq] ?? '') ?? [cpu] },
      steered: false,
      // iflib(4) leaves the work of a queue on its CPU, wherever the interrupt is.
      move: queues.some((queue) => queue.irq === irq)
        ? (to: number) => `cpuset -l ${to} -x ${irq}`
        : undefined,
    }));
  });
}

/** Linux: from /proc/irq. */
export function linuxQueues({ interfaces }: Pick<Facts, 'interfaces'>): QueueInterrupt[] {
  return interfaces.flatMap(({ name, receive }) =>
    receiveInterrupts(name).map(({ irq, cpus, allowed }) => ({
      ...{ card: name, irq, cpus, allowed },
      steered: receive.some(({ steeredTo }) => steeredTo.length > 0),
      move: (to: number) => `echo ${to} > /proc/irq/${irq}/smp_affinity_list`,
    })),
  );
}
