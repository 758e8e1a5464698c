import type { Slice } from '../../bus/slice.js';
import type { HeldFiles, Identity } from '../../device.js';
import type { Handle } from './node.js';
import type { SliceLayout } from './slice-layout.js';

export const MessageType = { NONE: 0, DATA: 1, NODE_DESTROY: 2, NODE_RELEASE: 3 } as const;
export type MessageType = (typeof MessageType)[keyof typeof MessageType];

/** What a DATA message carries. */
export interface Cargo {
  /** Who sent it, at the time of SEND. */
  readonly sender: Identity;
  readonly slice: Slice;
  /** Its security context is the sender's, where the receiver wanted it and there is one. */
  readonly layout: SliceLayout;
  /** The receiver's handles, some of them not visible to it before it receives this message. */
  readonly handles: readonly Handle[];
  readonly files: HeldFiles | undefined;
  /** Whose share of the receiver's quotas it takes: the uid of the sending peer. */
  readonly senderUid: number;
}

/** One entry of a queue, or a seed. */
export class Message {
  readonly type: MessageType;
  /** Sequence number of the transaction it is part of: its place in the global order. */
  readonly sequence: number;
  /** The receiver's handle of the node it is about; undefined for a seed. */
  readonly destination: Handle | undefined;
  readonly cargo: Cargo | undefined;
  previous: Message | undefined;
  next: Message | undefined;

  constructor(type: MessageType, sequence: number, destination: Handle | undefined, cargo?: Cargo) {
    this.type = type;
    this.sequence = sequence;
    this.destination = destination;
    this.cargo = cargo;
  }

  /** Sent when its node was destroyed already; such a message waits in the queue but is never delivered. */
  get isLate(): boolean {
    return (
      this.type === MessageType.DATA &&
      this.destination !== undefined &&
      this.destination.node.isDestroyedBefore(this.sequence)
    );
  }
}
