// The data set of bench/native/keys.h, for servers in which no client stores it.
export function valueOf(n: number): string {
  let value = `v${n}-`;
  while (value.length < 32) value += String.fromCharCode(97 + ((n + value.length) % 26));
  return value;
}

export const keys = 10_000;

export const keyOf = (n: number) => `key:${String(n).padStart(5, '0')}`;

export function itemOf(n: number): string {
  return `VALUE ${keyOf(n)} 0 32\r\n${valueOf(n)}\r\n`;
}
