// Hash keys that drivers tell. Pure.
import { rssKeySize } from '../../contract.js';
import type { CardFacts } from './drivers.js';

const isKey = (bytes: Uint8Array) => bytes.length >= rssKeySize && bytes.some((byte) => byte !== 0);
const cut = (bytes: Uint8Array) => Uint8Array.from(bytes.subarray(0, rssKeySize));

/** Bytes of text like "6d5a56da...". */
function hexBytes(text: string): Uint8Array {
  const digits = text.replaceAll(/[:\s]/g, '');
  return /^([\da-f]{2})+$/i.test(digits) ? Buffer.from(digits, 'hex') : new Uint8Array(0);
}

/** Bytes of sbuf_hexdump(9): "0000   6d 5a ...  |mZ..|". */
function dumpedBytes(text: string): Uint8Array {
  const lines = text.split('\n').map((line) => /^[\da-f]{4}\s+([\da-f\s]*)\|/i.exec(line)?.[1]);
  return hexBytes(lines.join(''));
}

/** Values of sysctl dev.DRIVER.UNIT that are keys. */
const told: Readonly<Record<string, { name: string; read(text: string): Uint8Array }>> = {
  ena: { name: 'rss.key', read: hexBytes }, // ena/ena_sysctl.c, ena_sysctl_rss_key()
  ixl: { name: 'debug.rss_key', read: dumpedBytes }, // ixl/ixl_pf_main.c, ixl_sysctl_hkey()
};

export const keyNames = Object.values(told).map(({ name }) => name);

/** The key of a card: `asked` is the answer of SIOCGIFRSSKEY. Undefined: its driver tells none. */
export function exactKey(
  { driver, unit, sysctl }: Pick<CardFacts, 'driver' | 'unit' | 'sysctl'>,
  asked: Uint8Array | undefined,
): Uint8Array | undefined {
  if (asked !== undefined && isKey(asked)) return cut(asked);
  if (!Object.hasOwn(told, driver)) return undefined;
  const { name, read } = told[driver]!;
  const text = sysctl[`dev.${driver}.${unit}.${name}`];
  const bytes = text === undefined ? new Uint8Array(0) : read(text);
  return isKey(bytes) ? cut(bytes) : undefined;
}

/** A key as users write it: 40 bytes, or their hexadecimal digits. */
export function parseKey(value: unknown): Uint8Array | undefined {
  const bytes = typeof value === 'string' ? hexBytes(value) : value;
  const valid = bytes instanceof Uint8Array && bytes.length === rssKeySize && isKey(bytes);
  return valid ? Uint8Array.from(bytes) : undefined;
}
