// What a client knows of its own keys, which no other client writes. A key has one value, or one of
// several if a connection was lost in the middle of a request. Undefined means that there is no
// item.
type Value = string | undefined;

export class Model {
  readonly #possible = new Map<string, Set<Value>>();
  readonly #resets = new Map<string, number>();
  /** Number of resets that the server has reported: each loses the items of a shard. */
  resets = 0;

  #of(key: string): Set<Value> {
    return this.#possible.get(key) ?? new Set([undefined]);
  }

  /** The key had this value when it was asked for. There were `resets` at that time. */
  know(key: string, value: Value, resets: number): void {
    this.#possible.set(key, new Set([value]));
    this.#resets.set(key, resets);
  }

  /** A request that would have set this value was not answered. */
  doubt(key: string, ...values: Value[]): void {
    this.#possible.set(key, new Set([...this.#of(key), ...values]));
  }

  /** Whether the key may have this value. */
  allows(key: string, value: Value): boolean {
    if (value === undefined && this.resets > (this.#resets.get(key) ?? 0)) return true;
    return this.#of(key).has(value);
  }

  /** The key's value, if it is certain. */
  certain(key: string): { value: Value } | undefined {
    const possible = this.#of(key);
    const [value] = possible;
    return possible.size === 1 && this.resets === (this.#resets.get(key) ?? this.resets)
      ? { value }
      : undefined;
  }

  possibilities(key: string): Value[] {
    return [...this.#of(key)];
  }
}
