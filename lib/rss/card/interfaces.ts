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
function beneath(name: string, interfaces: readonly NetworkInterface[]): Beneath {
  const cards = new Map<string, CardName>();
  const reasons = new Set<string>();
  const names = new Set([name]);
  // A set visits what is added to it meanwhile.
  for (const own of names) {
    const found = interfaces.find((one) => one.name === own);
    if (found === undefined) reasons.add(`there is no interface ${own}`);
    else if (found.kind === '') {
      const { device } = found;
      const [, driver, unit] = /^([a-z]\w*?)(\d+)$/i.exec(device) ?? [];
      if (driver === undefined) reasons.add(`${own}: its device is not known`);
      else cards.set(device, { driver, unit: Number(unit), interface: own });
    } else if (found.kind !== 'lagg' && found.kind !== 'vlan')
      reasons.add(`${own} is no card: ${found.kind}(4) has no receive queues`);
    else if (found.below.length === 0) reasons.add(`${own}: no card is beneath it`);
    else for (const next of found.below) names.add(next);
  }
  return { cards: [...cards.values()], reasons: [...reasons] };
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

/** The cards that serve these addresses. `only`: the interface to use instead. */
export function cardsServing(
  interfaces: readonly NetworkInterface[],
  hosts: readonly string[],
  only: string | undefined,
): { groups: CardNames[]; reasons: string[] } {
  if (only !== undefined) {
    const { cards, reasons } = beneath(only, interfaces);
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
    const found = beneath(name, interfaces);
    for (const reason of found.reasons) reasons.add(reason);
    if (found.cards.length > 0) groups.push({ addresses, cards: found.cards });
  }
  return { groups, reasons: [...reasons] };
}
