import type { Message } from './message.js';

/**
 * A peer's incoming messages in global order.
 *
 * A message is deliverable while its destination handle is visible to the receiver and it was not sent too late. The
 * queue keeps their number without ever scanning: each handle counts the messages that depend on it, and moves them
 * in or out of the number when it becomes visible or disappears.
 */
export class Queue {
  head: Message | undefined;
  private tail: Message | undefined;
  length = 0;
  /** How many queued messages could be received now. */
  deliverable = 0;

  push(message: Message): void {
    message.previous = this.tail;
    if (this.tail === undefined) this.head = message;
    else this.tail.next = message;
    this.tail = message;
    this.length++;
    this.count(message, 1);
  }

  remove(message: Message): void {
    this.count(message, -1);
    if (message.previous === undefined) this.head = message.next;
    else message.previous.next = message.next;
    if (message.next === undefined) this.tail = message.previous;
    else message.next.previous = message.previous;
    message.previous = undefined;
    message.next = undefined;
    this.length--;
  }

  private count(message: Message, by: 1 | -1): void {
    const { destination } = message;
    if (destination === undefined || message.isLate) return;
    destination.pending += by;
    if (destination.isVisible) this.deliverable += by;
  }
}
