// The network cards by which packets for an address arrive. Pure.
import { plainHost } from '../../socket/host.js';

export interface NetworkInterface {
  /** As ifconfig(8) has it. */
  name: string;
  /** As its driver has it: "igb0". */
  device: string;
  /** Of an interface that the kernel creates on request: "lagg", "vlan", "bridge"; '': a card. */
  kind: string;
  up: boolean;
  addresses: readonly string[];
  /** Ports of a lagg, the parent of a vlan. */
  below: readonly string[];
}

export interface CardName {
  driver: string;
  unit: number;
  /** As ifconfig(8) has it. */
  interface: string;
}

/** Cards that serve the same addresses. */
export interface CardNames {
  /** Empty: all addresses. */
  addresses: readonly string[];
  cards: CardName[];
}

interface Beneath {
  cards: CardName[];
  /** Why interfaces have no part in it. */
  reasons: string[];
}

const isAny = (address: string) => address === '::' || address === '0.0.0.0';

/** Cards beneath an interface: of a lagg all ports, of a vlan the parent. */
function beneath(name: string, interfaces: readonly NetworkInterface[], depth: number): Beneath {
  const found = interfaces.find((one) => one.name === name);
  if (found === undefined) return { cards: [], reasons: [`there is no interface ${name}`] };
  const { kind, device, below } = found;
  if (kind === '') {
    const [, driver, unit] = /^([a-z]\w*?)(\d+)$/i.exec(device) ?? [];
    return driver === undefined
      ? { cards: [], reasons: [`${name}: its device is not known`] }
      : { cards: [{ driver, unit: Number(unit), interface: name }], reasons: [] };
  }
  if (kind !== 'lagg' && kind !== 'vlan')
    return { cards: [], reasons: [`${name} is no card: ${kind}(4) has no receive queues`] };
  if (below.length === 0 || depth === 0)
    return { cards: [], reasons: [`${name}: no card is beneath it`] };
  return join(below.map((one) => beneath(one, interfaces, depth - 1)));
}

function join(parts: readonly Beneath[]): Beneath {
  const cards = new Map(
    parts.flatMap((part) => part.cards).map((card) => [`${card.driver}${card.unit}`, card]),
  );
  return {
    cards: [...cards.values()],
    reasons: [...new Set(parts.flatMap(({ reasons }) => reasons))],
  };
}

/** An interface, and all that are beneath it. */
export function stackOf(
  wanted: NetworkInterface,
  interfaces: readonly NetworkInterface[],
): NetworkInterface[] {
  const stack = new Set([wanted]);
  // A set visits what is added to it meanwhile.
  for (const { below } of stack)
    for (const one of interfaces) if (below.includes(one.name)) stack.add(one);
  return [...stack];
}

/** Deepest stack of interfaces: a vlan on a vlan on a lagg. */
const deepest = 4;

/** The cards that serve these addresses. `only`: the interface to use instead. */
export function cardsServing(
  interfaces: readonly NetworkInterface[],
  hosts: readonly string[],
  only: string | undefined,
): { groups: CardNames[]; reasons: string[] } {
  if (only !== undefined) {
    const { cards, reasons } = beneath(only, interfaces, deepest);
    return { groups: cards.length > 0 ? [{ addresses: [], cards }] : [], reasons };
  }
  const reasons = new Set<string>();
  const serving = new Set<NetworkInterface>();
  for (const host of hosts) {
    const { address, zone } = plainHost(host);
    const own = interfaces.filter(({ name, kind, up, addresses }) =>
      isAny(address)
        ? up && kind !== 'lo' && addresses.length > 0
        : addresses.some((one) => plainHost(one).address === address) && (zone ?? name) === name,
    );
    for (const one of own) serving.add(one);
    if (own.length === 0)
      reasons.add(isAny(address) ? 'no interface is up' : `no interface has ${address}`);
  }
  const groups: CardNames[] = [];
  for (const { name, addresses } of serving) {
    const found = beneath(name, interfaces, deepest);
    for (const reason of found.reasons) reasons.add(reason);
    if (found.cards.length > 0) groups.push({ addresses, cards: found.cards });
  }
  return { groups, reasons: [...reasons] };
}
