import type { Linked } from '../../../base/linked-list.js';
import type { Identity } from '../../../device.js';
import type { Handle, Node } from './node-2026.js';

export const MessageType = { USER: 0, NODE_RELEASE: 1, HANDLE_RELEASE: 2 } as const;
export type MessageType = (typeof MessageType)[keyof typeof MessageType];

/** One entry of a peer's queue. */
export class Message implements Linked<Message> {
  readonly type: MessageType;
  /** Of the receiving peer: the node it was sent to, the handle whose node is gone, or the node whose last handle is gone. */
  readonly subject: Node | Handle;
  /** What a USER message brings. */
  readonly cargo: Cargo | undefined;
  previous: Message | undefined;
  next: Message | undefined;

  constructor(type: MessageType, subject: Node | Handle, cargo?: Cargo) {
    this.type = type;
    this.subject = subject;
    this.cargo = cargo;
  }
}

/** What a USER message brings, and its place among those that were sent to the same node. */
export class Cargo implements Linked<Cargo> {
  /** Shared by all who were sent it. */
  readonly payload: Uint8Array;
  /** The receiver's, to get their ids when it receives the message. */
  readonly handles: readonly Handle[];
  /** Who opened the sending peer. */
  readonly sender: Identity;
  readonly message: Message;
  previous: Cargo | undefined;
  next: Cargo | undefined;

  constructor(node: Node, payload: Uint8Array, handles: readonly Handle[], sender: Identity) {
    this.payload = payload;
    this.handles = handles;
    this.sender = sender;
    this.message = new Message(MessageType.USER, node, this);
  }

  /** How many objects it counts for while it is queued. */
  get objects(): number {
    return 1 + this.handles.length;
  }
}
