// What FreeBSD's drivers do with receive queues when the kernel has no options RSS. Files and lines
// are those of FreeBSD 14 (stable/14).

export interface CardFacts {
  /** "igb": the part of dev.igb.0. */
  driver: string;
  unit: number;
  /** As ifconfig(8) names it; absent: as its driver does. */
  interface?: string;
  /** sysctl(8) names and values; at least dev.DRIVER.UNIT and net.isr. */
  sysctl: Readonly<Record<string, string>>;
  /** Lines of sysctl hw.intrs. */
  interrupts: readonly string[];
  /** CPUs that workers may use. */
  allowedCpus: readonly number[];
}

/** Which values give the CPU of each receive queue. */
export type QueueSource = 'iflib' | 'virtio' | 'mlx5' | 'cxgbe' | 'ena' | 'hn';

export interface Driver {
  queues: QueueSource;
  /** Entries of the redirection table; undefined: the firmware chooses, or unknown. */
  tableSize(facts: CardFacts): number | undefined;
  /** Entry -> queue. */
  queueOf?(entry: number, queues: number, facts: CardFacts): number;
  /** What ids of type OPAQUE are. */
  opaque: 'hash' | 'queue';
}

const own = ({ driver, unit, sysctl }: CardFacts, name: string) =>
  sysctl[`dev.${driver}.${unit}.${name}`];

/** No card has more queues or table entries. Larger values are mistakes. */
const mostEntries = 4096;

/** A number of queues, channels, threads or table entries. */
export function count(text: string | undefined): number | undefined {
  const value = /^\d+$/.test(text ?? '') ? Number(text) : 0;
  return value > 0 && value <= mostEntries ? value : undefined;
}

/** A driver of iflib(4), with a table of this size that it fills with entry % queues. */
function iflib(size: number | undefined): Driver {
  return { queues: 'iflib', tableSize: () => size, opaque: 'hash' };
}

export const drivers: Readonly<Record<string, Driver>> = {
  em: iflib(128), // e1000/if_em.c:2912, em_initialize_rss_mapping()
  igb: iflib(128), // e1000/if_em.c:2957, igb_initialize_rss_mapping()
  igc: iflib(128), // igc/if_igc.c:1675, igc_initialize_rss_mapping()
  ix: {
    ...iflib(128),
    // ixgbe/if_ix.c:568: 512 entries on X550, X552 and X553, 128 on 82598, 82599 and X540.
    tableSize(facts) {
      const description = own(facts, '%desc');
      if (description === undefined) return undefined;
      return /X55\d/.test(description) ? 512 : 128;
    },
  },
  ixv: iflib(64), // ixgbe/if_ixv.c:1298
  ixl: iflib(undefined), // ixl/ixl_pf_iflib.c:840, func_caps.rss_table_size
  iavf: iflib(64), // iavf/iavf_lib.h:120
  ice: iflib(undefined), // ice/ice_lib.c:6836, the capability rss_table_size
  vmx: iflib(128), // vmware/vmxnet3/if_vmxreg.h:330, if_vmx.c:1191
  bnxt: iflib(undefined), // bnxt/if_bnxt.c:1769: 128 entries, 64 pairs of them on P5 chips
  ax: iflib(256), // axgbe/xgbe.h:292, if_axgbe_pci.c:193, 1457
  // virtio/network/if_vtnet.c:2016: the host chooses the queue, its number is the flow id.
  vtnet: { queues: 'virtio', tableSize: () => undefined, opaque: 'queue' },
  mce: {
    queues: 'mlx5',
    // mlx5/mlx5_en/mlx5_en_main.c:3826: 128, or the next power of two of more channels.
    tableSize(facts) {
      const channels = count(own(facts, 'conf.channels'));
      if (channels === undefined) return undefined;
      return Math.max(128, 2 ** Math.ceil(Math.log2(channels)));
    },
    // mlx5_en_main.c:2830: only every channels_rsss-th queue is used.
    queueOf(entry, queues, facts) {
      const queue = entry % queues;
      return queue - (queue % (count(own(facts, 'conf.channels_rsss')) ?? 1));
    },
    opaque: 'queue', // mlx5_en_rx.c:349
  },
  ena: {
    queues: 'ena',
    tableSize: () => 128, // ena/ena.h:84, ena_rss.c:117
    // ena_sysctl.c:603: "0:0 1:1 ..."
    queueOf(entry, queues, facts) {
      const table = own(facts, 'rss.indir_table');
      const found = table === undefined ? null : new RegExp(`(?:^|\\s)${entry}:(\\d+)`).exec(table);
      return found === null ? entry % queues : Number(found[1]);
    },
    opaque: 'hash',
  },
  hn: {
    queues: 'hn',
    tableSize: (facts) => count(own(facts, 'rss_ind_size')), // hyperv/netvsc/if_hn.c:2303, 6582
    opaque: 'queue', // if_hn.c:3674
  },
  // cxgbe/t4_main.c:6826, 7822
  ...Object.fromEntries(
    ['cxgbe', 'cxl', 'cc'].map((name): [string, Driver] => [
      name,
      { queues: 'cxgbe', tableSize: (facts) => count(own(facts, 'rss_size')), opaque: 'hash' },
    ]),
  ),
};

/** The driver of a card. Drivers of iflib(4) need not be in the table. */
export function driverOf(facts: CardFacts): Driver | undefined {
  if (Object.hasOwn(drivers, facts.driver)) return drivers[facts.driver];
  // With more than ten queues, their numbers have two digits.
  const prefix = `dev.${facts.driver}.${facts.unit}.iflib.rxq`;
  const ofIflib = Object.keys(facts.sysctl).some((name) => name.startsWith(prefix));
  return ofIflib ? iflib(undefined) : undefined;
}

/** Cards that these values name, by driver and unit. */
export function cardsIn(
  sysctl: Readonly<Record<string, string>>,
): { driver: string; unit: number }[] {
  const found = new Map<string, { driver: string; unit: number }>();
  for (const name of Object.keys(sysctl)) {
    const match = /^dev\.([a-z]\w*?)\.(\d+)\./.exec(name);
    if (match === null) continue;
    const [, driver = '', unit = ''] = match;
    const known = Object.hasOwn(drivers, driver) || name.includes('.iflib.rxq');
    if (known) found.set(`${driver}${unit}`, { driver, unit: Number(unit) });
  }
  return [...found.values()];
}
