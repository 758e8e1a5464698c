import type { Slice } from '../../bus/slice.js';
import type { HeldFiles } from '../../device.js';
import type { KdbusConnection } from './kdbus-connection.js';
import type { KdbusUser } from './kdbus-user.js';
import type { ClaimedName } from './name-claim.js';
import type { Tracker } from './tracker.js';

/** Where in a message the number of a file goes, and which file of the message it is. */
export interface FilePlace {
  readonly offset: number;
  readonly index: number;
  /** Whether it is a descriptor of an FDS item, and not a memfd. */
  readonly isFd: boolean;
}

/** A message in a receiver's pool. */
export interface Delivered {
  readonly slice: Slice;
  readonly sender: KdbusConnection | undefined;
  readonly user: KdbusUser;
  /** How many descriptors are charged. */
  readonly nFds: number;
  readonly priority: bigint;
  /** Kept until it is received. */
  readonly files: HeldFiles | undefined;
  readonly places: readonly FilePlace[];
  /** The name it was sent to, if it was. */
  readonly name: ClaimedName<KdbusConnection> | undefined;
  /** The request's, if it is one. */
  readonly tracker: Tracker | undefined;
  /** Header, items and metadata, and payload, where the message may move. Without the latter it is only in the pool. */
  readonly head: Uint8Array | undefined;
  readonly area: Uint8Array | undefined;
}

/** What a receiver can RECV, in order of arrival. */
export class MessageQueue {
  private readonly entries = new Set<Delivered>();

  get length(): number {
    return this.entries.size;
  }

  push(message: Delivered): void {
    this.entries.add(message);
  }

  remove(message: Delivered): void {
    this.entries.delete(message);
  }

  values(): Iterable<Delivered> {
    return this.entries;
  }

  get first(): Delivered | undefined {
    const [first] = this.entries;
    return first;
  }

  /** The oldest of the lowest priority, as far as that is not above `limit`. */
  firstUpTo(limit: bigint): Delivered | undefined {
    let found: Delivered | undefined;
    for (const message of this.entries) {
      if (message.priority <= limit && (found === undefined || message.priority < found.priority)) found = message;
    }
    return found;
  }
}
