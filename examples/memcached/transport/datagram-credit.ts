// How much may be sent to one address by UDP. Sources of datagrams can be forged: without a bound, small
// requests would bring large answers to whoever they name.

/** Bytes per second and address; and as many at once. */
const rate = 2 ** 20;
const burst = 2 ** 22;
/** Addresses of the same slot share what they have. */
const slots = 4096;

function slotOf(address: string): number {
  let hash = 0;
  for (let i = 0; i < address.length; i++) hash = (Math.imul(hash, 31) + address.charCodeAt(i)) | 0;
  return (hash >>> 0) % slots;
}

export class UdpCredit {
  readonly #credit = new Float64Array(slots).fill(burst);
  readonly #since = new Float64Array(slots);

  /** Whether the address may have so many bytes at this time (ms); they count if it may. */
  spend(address: string, bytes: number, now: number): boolean {
    const slot = slotOf(address);
    const earned = ((now - this.#since[slot]!) / 1000) * rate;
    this.#since[slot] = now;
    const credit = Math.min(burst, this.#credit[slot]! + earned);
    const granted = bytes <= credit;
    this.#credit[slot] = granted ? credit - bytes : credit;
    return granted;
  }
}
