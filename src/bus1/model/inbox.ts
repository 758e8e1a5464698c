import type { Message } from './message.js';
import type { Handle } from './node.js';
import type { Peer } from './peer.js';
import { Queue } from './queue.js';

/** What a peer can receive: the messages in its queue, and its seed. */
export class Inbox {
  seed: Message | undefined;
  private readonly queue = new Queue();
  private readonly peer: Peer;
  private readonly wake: () => void;

  /** `wake` is called when there is something to receive where there was nothing before. */
  constructor(peer: Peer, wake: () => void) {
    this.peer = peer;
    this.wake = wake;
  }

  /** How many messages are queued, those that can never be delivered included. */
  get length(): number {
    return this.queue.length;
  }

  /** How many could be received now. */
  get deliverable(): number {
    return this.queue.deliverable;
  }

  get isReadable(): boolean {
    return this.queue.deliverable > 0;
  }

  /** The next in the queue, whether or not it can be delivered. */
  get head(): Message | undefined {
    return this.queue.head;
  }

  enqueue(message: Message): void {
    const before = this.queue.deliverable;
    this.queue.push(message);
    if (before === 0 && this.queue.deliverable > 0) this.wake();
  }

  /** Takes a notification back that is not true any more. */
  withdraw(notification: Message): void {
    this.queue.remove(notification);
  }

  /** A handle became visible, or disappeared, and with it the messages that depend on it. */
  adjustDeliverable(handle: Handle, by: 1 | -1): void {
    const before = this.queue.deliverable;
    this.queue.deliverable += by * handle.pending;
    if (before === 0 && this.queue.deliverable > 0) this.wake();
  }

  /** The message that RECV gets next, after dropping those before it that can no longer be delivered. */
  next(): Message | undefined {
    for (;;) {
      const message = this.queue.head;
      if (message === undefined || isDeliverable(message)) return message;
      this.unqueue(message);
      this.dropCargo(message);
    }
  }

  /** Whether the message that can be received after `message`, whose successor in the queue is given, belongs to the same transaction. */
  continues(message: Message, successor: Message | undefined): boolean {
    for (let next = successor; next?.sequence === message.sequence; next = next.next) {
      if (isDeliverable(next)) return true;
    }
    return false;
  }

  /** Takes a message out of the queue or the seed's place; its cargo still has to be taken or dropped. */
  private unqueue(message: Message): void {
    if (message === this.seed) {
      this.seed = undefined;
      return;
    }
    this.queue.remove(message);
    const { destination } = message;
    if (destination?.destroyNotification === message) destination.destroyNotification = undefined;
    else if (destination?.node.releaseNotification === message) destination.node.releaseNotification = undefined;
  }

  /** Whether PEEK's new user references are within the quota. */
  canPeek(message: Message): boolean {
    return this.peer.quotas.handles.fits(validHandles(message).length);
  }

  /** PEEK: exposes slice and handles and leaves the message where it is. */
  peek(message: Message): void {
    if (message.cargo === undefined) return;
    const handles = validHandles(message);
    this.peer.quotas.handles.charge(handles.length);
    for (const handle of handles) handle.addUserReference();
    this.peer.slices.expose(message.cargo.slice);
  }

  /** RECV: takes the message; its slice and handles become the user's, and the files it carries are let go. */
  take(message: Message): void {
    this.unqueue(message);
    const { cargo } = message;
    if (cargo === undefined) return;
    for (const handle of cargo.handles) {
      if (handle.node.isDestroyedBefore(message.sequence)) this.peer.quotas.handles.chargeFrom(cargo.senderUid, -1);
      else handle.addUserReference(cargo.senderUid);
      handle.dropCarried();
    }
    this.returnInFlight(message);
    this.peer.slices.expose(cargo.slice);
    this.peer.slices.dequeue(cargo.slice);
    cargo.files?.release();
  }

  /** Gives back what a message holds that nobody will receive any more. */
  private dropCargo(message: Message): void {
    const { cargo } = message;
    if (cargo === undefined) return;
    this.returnInFlight(message);
    if (cargo.handles.length > 0) this.peer.quotas.handles.chargeFrom(cargo.senderUid, -cargo.handles.length);
    this.peer.slices.dequeue(cargo.slice);
    cargo.files?.release();
    for (const handle of cargo.handles) handle.dropCarried();
  }

  private returnInFlight({ cargo, destination }: Message): void {
    if (cargo === undefined || destination === undefined) return;
    this.peer.chargeInFlight(cargo.senderUid, -cargo.slice.size, -(cargo.files?.count ?? 0));
  }

  /** Replaces the seed. */
  setSeed(seed: Message | undefined): void {
    const old = this.seed;
    this.seed = seed;
    if (old !== undefined) this.dropCargo(old);
  }

  /** Drops everything in the queue. */
  clear(): void {
    for (let message = this.queue.head; message !== undefined; message = this.queue.head) {
      this.unqueue(message);
      this.dropCargo(message);
    }
  }
}

const isDeliverable = (message: Message): boolean => message.destination?.isVisible === true && !message.isLate;

/** The handles a message carries that are references: not those of nodes destroyed before it was sent. */
const validHandles = ({ cargo, sequence }: Message): readonly Handle[] =>
  cargo?.handles.filter((handle) => !handle.node.isDestroyedBefore(sequence)) ?? [];
