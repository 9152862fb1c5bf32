// What a client knows of its own keys, which nobody else writes: a key may have one value, or, when a
// connection was lost in the middle of a request, one of several. Undefined: there is no item.
type Value = string | undefined;

export class Model {
  readonly #possible = new Map<string, Set<Value>>();
  readonly #resets = new Map<string, number>();
  /** Reported by the server: items of a shard were lost with a worker. */
  resets = 0;

  #of(key: string): Set<Value> {
    return this.#possible.get(key) ?? new Set([undefined]);
  }

  /** The key has had this value at some time since there were `resets`: when it was asked for. */
  know(key: string, value: Value, resets: number): void {
    this.#possible.set(key, new Set([value]));
    this.#resets.set(key, resets);
  }

  /** A request that would have made it this value has had no answer. */
  doubt(key: string, ...values: Value[]): void {
    this.#possible.set(key, new Set([...this.#of(key), ...values]));
  }

  /** Whether the key may have this value. */
  allows(key: string, value: Value): boolean {
    if (value === undefined && this.resets > (this.#resets.get(key) ?? 0)) return true;
    return this.#of(key).has(value);
  }

  /** What it has, if that is certain. */
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
