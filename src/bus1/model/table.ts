const LEAST_CAPACITY = 4;
/** 2^32 divided by the golden ratio: spreads what differs in few bits. */
const SPREAD = 0x9e37_79b9;

/**
 * Values by non-negative integer, below 2^32. A Map keeps the traces of deleted keys until it grows, and so gets slow where one
 * key comes and goes while many others stay; here nothing is left of them.
 */
export class Table<Value> {
  private keys: number[] = [];
  private values: (Value | undefined)[] = [];
  private count = 0;

  get size(): number {
    return this.count;
  }

  get(key: number): Value | undefined {
    return this.values[this.find(key)];
  }

  set(key: number, value: Value): void {
    if (2 * (this.count + 1) > this.values.length) this.resize(Math.max(LEAST_CAPACITY, 2 * this.values.length));
    const index = this.find(key);
    if (this.values[index] === undefined) this.count++;
    this.keys[index] = key;
    this.values[index] = value;
  }

  delete(key: number): void {
    let hole = this.find(key);
    if (this.values[hole] === undefined) return;
    this.count--;
    const mask = this.values.length - 1;
    // Moves back what could not have its own place because this one was taken.
    for (let i = (hole + 1) & mask; this.values[i] !== undefined; i = (i + 1) & mask) {
      const home = this.home(this.keys[i] as number);
      if (((i - home) & mask) < ((i - hole) & mask)) continue;
      this.keys[hole] = this.keys[i] as number;
      this.values[hole] = this.values[i];
      hole = i;
    }
    this.values[hole] = undefined;
    if (this.values.length > LEAST_CAPACITY && 8 * this.count < this.values.length) this.resize(this.values.length / 2);
  }

  *all(): Iterable<Value> {
    for (const value of this.values) if (value !== undefined) yield value;
  }

  private home(key: number): number {
    return Math.imul(key, SPREAD) >>> (Math.clz32(this.values.length) + 1);
  }

  /** Where a key is, or else the free place for it. */
  private find(key: number): number {
    const { keys, values } = this;
    if (values.length === 0) return 0;
    const mask = values.length - 1;
    let index = this.home(key);
    while (values[index] !== undefined && keys[index] !== key) index = (index + 1) & mask;
    return index;
  }

  private resize(capacity: number): void {
    const { keys, values } = this;
    this.keys = new Array<number>(capacity).fill(0);
    this.values = new Array<Value | undefined>(capacity).fill(undefined);
    for (const [i, value] of values.entries()) {
      if (value === undefined) continue;
      const index = this.find(keys[i] as number);
      this.keys[index] = keys[i] as number;
      this.values[index] = value;
    }
  }
}
