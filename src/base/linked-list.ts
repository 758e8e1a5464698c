/** What can be in a LinkedList, in one at a time. */
export interface Linked<Value> {
  previous: Value | undefined;
  next: Value | undefined;
}

/** Values in the order they were added, each of which can leave at once, since they hold the links themselves. */
export class LinkedList<Value extends Linked<Value>> {
  first: Value | undefined;
  length = 0;
  private last: Value | undefined;

  push(value: Value): void {
    value.previous = this.last;
    if (this.last === undefined) this.first = value;
    else this.last.next = value;
    this.last = value;
    this.length++;
  }

  /** Takes out a value that is in this list. */
  remove(value: Value): void {
    const { previous, next } = value;
    if (previous === undefined) this.first = next;
    else previous.next = next;
    if (next === undefined) this.last = previous;
    else next.previous = previous;
    value.previous = undefined;
    value.next = undefined;
    this.length--;
  }

  /** The list may lose the value that is being looked at. */
  *[Symbol.iterator](): Generator<Value, void> {
    for (let value = this.first; value !== undefined; ) {
      const { next } = value;
      yield value;
      value = next;
    }
  }
}
