import { isIP } from 'node:net';

/**
 * Splits a host into address and zone. The address is in the canonical form that systems print; a
 * v4-mapped one becomes IPv4.
 */
export function plainHost(host: string): { address: string; zone: string | undefined } {
  const [address = '', zone] = host.split('%');
  if (isIP(address) !== 6) return { address, zone };
  const plain = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(plain);
  if (mapped === null) return { address: plain, zone };
  const bytes = mapped.slice(1).flatMap((word) => {
    const value = Number.parseInt(word, 16);
    return [value >> 8, value & 255];
  });
  return { address: bytes.join('.'), zone };
}
