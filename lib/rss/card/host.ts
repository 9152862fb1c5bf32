// Reads what this host says of its network cards.
import { isFailure } from '../../errors.js';
import { native } from '../../native.js';
import type { CardFacts } from './drivers.js';
import { type CardName, cardsServing } from './interfaces.js';
import { exactKey, keyNames } from './keys.js';
import { type CardMap, mapOfCards, type NoCardMap } from './map.js';

function valuesOf(name: string): Record<string, string> {
  const values = native.systemValues(name);
  return isFailure(values) ? {} : Object.fromEntries(values);
}

/**
 * What maps need of dev.DRIVER.UNIT. Drivers read some of the other values from the hardware, which
 * takes time.
 */
const needed = [
  ...['%desc', '%driver', '%location', '%parent', 'iflib', 'act_vq_pairs', 'channel'],
  ...['conf', 'rss', 'rss_ind_size', 'rss_size'],
];

/** Facts of cards. What all cards share is read once. */
export function cardFactReader(allowedCpus: readonly number[]): (card: CardName) => CardFacts {
  const shared = valuesOf('net.isr');
  const interrupts = (valuesOf('hw.intrs')['hw.intrs'] ?? '').trim().split('\n');
  return ({ driver, unit, interface: name }) => {
    const own = needed.map((name) => valuesOf(`dev.${driver}.${unit}.${name}`));
    const sysctl = Object.assign({}, shared, ...own) as Record<string, string>;
    return { driver, unit, interface: name, sysctl, interrupts, allowedCpus };
  };
}

/** What decides about the map of this host's cards. */
export interface MapRequest {
  /** Addresses that are listened on. */
  hosts: readonly string[];
  /** The interface to use whatever the addresses. */
  interface: string | undefined;
  allowedCpus: readonly number[];
}

/** The map of the cards that serve these addresses. Undefined: this system does not describe it. */
export function readCardMap(request: MapRequest): CardMap | NoCardMap | undefined {
  const interfaces = native.networkInterfaces();
  if (isFailure(interfaces)) return undefined;
  const { groups, reasons } = cardsServing(interfaces, request.hosts, request.interface);
  const factsOf = cardFactReader(request.allowedCpus);
  return mapOfCards(
    groups.map(({ addresses, cards }) => ({ addresses, cards: cards.map(factsOf) })),
    reasons,
  );
}

/** The key that the drivers of all these cards tell. Undefined: one tells none, or they differ. */
function commonKey(cards: readonly CardName[]): Uint8Array | undefined {
  const keys = cards.map(({ driver, unit, interface: name }) => {
    const asked = native.cardHash(name);
    const told = keyNames.map((value) => valuesOf(`dev.${driver}.${unit}.${value}`));
    const sysctl = Object.assign({}, ...told) as Record<string, string>;
    return exactKey({ driver, unit, sysctl }, isFailure(asked) ? undefined : asked.key);
  });
  const [first] = keys;
  const same = keys.every((key) => key !== undefined && first !== undefined && equal(key, first));
  return same ? first : undefined;
}

const equal = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

/** The key that the drivers of a map's cards tell, if it is the same one. */
export function readCardKey({ interfaces, devices }: CardMap): Uint8Array | undefined {
  return commonKey(
    interfaces.map((name, i) => {
      const [, driver = '', unit = ''] = /^(.*?)(\d+)$/.exec(devices[i]!) ?? [];
      return { driver, unit: Number(unit), interface: name };
    }),
  );
}

/** The key that the driver of the card behind a local address tells. */
export function readKeyBehind(local: string): Uint8Array | undefined {
  const interfaces = native.networkInterfaces();
  if (isFailure(interfaces)) return undefined;
  return commonKey(cardsServing(interfaces, [local], undefined).groups.flatMap((one) => one.cards));
}
