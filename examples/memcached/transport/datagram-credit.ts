// Limits what is sent to one address by UDP. Sources of datagrams can be forged: without a limit,
// small requests would send large answers to a victim.

/** Bytes per second and address. */
const rate = 2 ** 20;
/** Bytes at once. */
const burst = 2 ** 22;
/** Addresses with the same hash share an account. */
const accounts = 4096;

function accountOf(address: string): number {
  let hash = 0;
  for (let i = 0; i < address.length; i++) hash = (Math.imul(hash, 31) + address.charCodeAt(i)) | 0;
  return (hash >>> 0) % accounts;
}

export class DatagramCredit {
  readonly #credit = new Float64Array(accounts).fill(burst);
  readonly #since = new Float64Array(accounts);

  /** Whether the address may get this many bytes at this time (ms). If so, they are charged. */
  spend(address: string, bytes: number, now: number): boolean {
    const account = accountOf(address);
    const earned = ((now - this.#since[account]!) / 1000) * rate;
    this.#since[account] = now;
    const credit = Math.min(burst, this.#credit[account]! + earned);
    const granted = bytes <= credit;
    this.#credit[account] = granted ? credit - bytes : credit;
    return granted;
  }
}
