// The data set of bench/native/keys.h, for servers in which no client stores it.
export function valueOf(n: number): string {
  let value = `v${n}-`;
  while (value.length < 32) value += String.fromCharCode(97 + ((n + value.length) % 26));
  return value;
}

export function itemOf(n: number): string {
  return `VALUE key:${String(n).padStart(5, '0')} 0 32\r\n${valueOf(n)}\r\n`;
}
