// Network drivers of FreeBSD under options RSS: which hash key they give their cards.

/** The first major release whose driver gives its card the kernel's key, by its sources. */
export const since: Readonly<Record<string, number>> = {
  cc: 12, // cxgbe(4): cxgbe, cxl and cc
  cxgbe: 12,
  cxl: 12,
  hn: 12,
  igb: 14, // up to 13 its RSS code is dead, because opt_rss.h is not included
  ix: 12,
  ixl: 12,
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
  // The only card of em(4) with more than one queue.
  return driver === 'em' && description.includes('82574');
}
