// Network drivers of FreeBSD under options RSS: which hash key they give their cards, and which
// fields of UDP they let them hash.

/** The first major release whose driver gives its card the kernel's key, by its sources. */
export const since: Readonly<Record<string, number>> = {
  ax: 15, // axgbe(4); in 14 its RSS code is dead, because opt_rss.h is not included
  cc: 12, // cxgbe(4): cxgbe, cxl and cc
  cxgbe: 12,
  cxl: 12,
  ena: 14, // like iavf, ice, igc and ixv: sources before 14 have not been read
  hn: 12,
  iavf: 14,
  ice: 14,
  igb: 14, // up to 13 its RSS code is dead, because opt_rss.h is not included
  igc: 14,
  ix: 12,
  ixl: 12,
  ixv: 14,
  mce: 12, // mlx5en(4)
  sfxge: 12,
  vmx: 12,
};

export function takesKernelKey(driver: string, release: number): boolean {
  return release >= (since[driver] ?? Infinity);
}

/** Whether a card is known to hash by a random key of its own. */
export function hashesByItself(driver: string, description: string, release: number): boolean {
  if (release <= 13) return driver === 'em' || driver === 'igb';
  if (driver === 'bnxt' || (driver === 'ax' && release === 14)) return true;
  // The only card of em(4) with more than one queue.
  return driver === 'em' && description.includes('82574');
}

/** `kernel`: what net.inet.rss.udp_4tuple says. */
export type UdpFields = 'kernel' | 'addresses' | 'ports';

/** Files and lines are those of FreeBSD 14 (stable/14). 15 does the same. */
export const udpFields: Readonly<Record<string, UdpFields>> = {
  ax: 'ports', // axgbe/if_axgbe_pci.c:1420
  bnxt: 'ports', // bnxt/if_bnxt.c:1537
  cc: 'kernel', // cxgbe/t4_main.c:6732
  cxgbe: 'kernel',
  cxl: 'kernel',
  em: 'addresses', // e1000/if_em.c:2925
  ena: 'ports', // contrib/ena-com/ena_com.c:2956
  iavf: 'kernel', // iavf/iavf_lib.c:1112
  ice: 'kernel', // ice/ice_lib.c:7130
  igb: 'ports', // e1000/if_em.c:3017
  igc: 'ports', // igc/if_igc.c:1738
  ix: 'kernel', // ixgbe/if_ix.c:648
  ixl: 'kernel', // ixl/ixl_pf_main.c:1141
  ixv: 'kernel', // ixgbe/if_ixv.c:1356
  mce: 'kernel', // mlx5/mlx5_en/mlx5_en_main.c:3046
  vmx: 'addresses', // vmware/vmxnet3/if_vmx.c:1167
};
