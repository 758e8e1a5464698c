import { Errno } from '../../base/errno.js';
import { grantedFlags } from './attach-flags.js';
import { ItemWriter } from './item-writer.js';
import { writeMetadata } from './metadata.js';
import type { Timestamp } from './metadata-codec.js';
import { type MetadataViewpoint, seenPid } from './metadata-viewpoint.js';
import type { Claim } from './name-claim.js';
import { type Fact, NO_FACTS, type ProcessFacts } from './process-facts.js';

/** The connection that sends. */
export interface MetadataSender {
  /** What it gives of itself, as AttachFlag bits. */
  readonly sendFlags: number;
  /** Whether it pretends to be somebody else: then its messages tell nothing of a process, real or not. */
  readonly isFaked: boolean;
  readonly claims: ReadonlyMap<string, Claim<unknown>>;
  readonly description: string | undefined;
}

/** A connection that receives. */
export interface MetadataReceiver {
  /** What it wants to get, as AttachFlag bits. */
  readonly receiveFlags: number;
  readonly viewpoint: MetadataViewpoint;
}

/** The thread that sends, and the root directory it has. */
export interface SendingThread extends ProcessFacts {
  readonly root: Fact<string>;
}

const NOTHING = new Uint8Array();
const writer = new ItemWriter();

/** What one message tells of its sender. What several receivers want to know is found out once, for the first of them. */
export class MessageMetadata {
  private readonly sender: MetadataSender;
  private readonly thread: SendingThread;
  private readonly stamp: () => Timestamp;
  private timestamp: Timestamp | undefined;
  /** What was made last, and for whom: most receivers of a broadcast want and see the same. */
  private last:
    | { readonly flags: number; readonly viewpoint: MetadataViewpoint; readonly items: Uint8Array }
    | undefined;

  /** `stamp` is asked for the time when the first receiver wants to know it. */
  constructor(sender: MetadataSender, thread: SendingThread, stamp: () => Timestamp) {
    this.sender = sender;
    this.thread = thread;
    this.stamp = stamp;
  }

  /** The items for a receiver, without padding after the last; an errno if something it wants could not be found out. */
  itemsFor({ receiveFlags, viewpoint }: MetadataReceiver): Uint8Array | Errno {
    if (receiveFlags === 0) return NOTHING;
    const process = this.sender.isFaked ? NO_FACTS : this.thread;
    let flags = grantedFlags(this.sender.sendFlags, receiveFlags);
    if (flags !== receiveFlags) {
      const { ids } = process;
      if (typeof ids === 'number') return ids;
      if (seenPid(viewpoint, ids?.tid) !== 0) flags = receiveFlags;
    }
    const { last } = this;
    if (last !== undefined && last.flags === flags && last.viewpoint === viewpoint) return last.items;
    return this.make(flags, process, viewpoint);
  }

  private make(flags: number, process: ProcessFacts, viewpoint: MetadataViewpoint): Uint8Array | Errno {
    const { claims, description } = this.sender;
    const { thread } = this;
    const reader = {
      viewpoint,
      get callerRoot(): Fact<string> {
        return thread.root;
      },
    };
    writer.clear();
    const error = writeMetadata(writer, flags, { process, claims, description }, reader, () => {
      this.timestamp ??= this.stamp();
      return this.timestamp;
    });
    if (error !== Errno.OK) return error;
    const items = writer.take();
    this.last = { flags, viewpoint, items };
    return items;
  }
}
