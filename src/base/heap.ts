/** Values of which the least is at hand, by an order that is given once (a binary heap). */
export class Heap<Value> {
  private readonly values: Value[] = [];
  private readonly isBefore: (a: Value, b: Value) => boolean;

  constructor(isBefore: (a: Value, b: Value) => boolean) {
    this.isBefore = isBefore;
  }

  get least(): Value | undefined {
    return this.values[0];
  }

  add(value: Value): void {
    const { values } = this;
    let at = values.push(value) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.isBefore(value, values[parent] as Value)) break;
      values[at] = values[parent] as Value;
      at = parent;
    }
    values[at] = value;
  }

  removeLeast(): void {
    const { values } = this;
    const value = values.pop();
    if (value === undefined || values.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= values.length) break;
      if (child + 1 < values.length && this.isBefore(values[child + 1] as Value, values[child] as Value)) child++;
      if (!this.isBefore(values[child] as Value, value)) break;
      values[at] = values[child] as Value;
      at = child;
    }
    values[at] = value;
  }
}
