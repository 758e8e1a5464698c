import { Errno } from '../../../base/errno.js';
import { IdTable } from '../../../base/id-table.js';
import { LinkedList } from '../../../base/linked-list.js';
import type { Identity, Viewpoint } from '../../../device.js';
import type { Account, Quotas } from './account.js';
import { type Cargo, Message, MessageType } from './message-2026.js';
import { Handle, Node } from './node-2026.js';

/** Who opened a peer. */
export interface PeerOpener {
  readonly identity: Identity;
  /** The namespaces it sees others from. */
  readonly viewpoint: Viewpoint;
}

/** How the ids of one peer follow each other: the bus assigns odd ones only. */
const ID_STEP = 2;

/** A queue of incoming messages, and the nodes and handles of its owner in one space of ids. */
export class Peer {
  readonly opener: PeerOpener;
  readonly account: Account;
  readonly quotas: Quotas;
  private readonly objects = new IdTable<Node | Handle>();
  /** What can be received, in order: whatever cannot be delivered any more leaves it. */
  private readonly queue = new LinkedList<Message>();
  private upcomingId = 1;
  private readonly wake: () => void;

  /** Made by Bus.addPeer(). */
  constructor(opener: PeerOpener, account: Account, wake: () => void) {
    this.opener = opener;
    this.account = account;
    this.quotas = account.quotasOfPeer();
    this.wake = wake;
  }

  get isReadable(): boolean {
    return this.queue.length > 0;
  }

  get queued(): number {
    return this.queue.length;
  }

  /** All its nodes and handles that have an id. */
  entries(): Iterable<Node | Handle> {
    return this.objects.values();
  }

  // ---- ids

  /** The id that comes after `count` others, none of which was ever given on this peer. */
  idAfter(count: number): number {
    return this.upcomingId + count * ID_STEP;
  }

  /** So many ids are given, for ever. */
  takeIds(count: number): void {
    this.upcomingId += count * ID_STEP;
  }

  has(id: number): boolean {
    return this.objects.get(id) !== undefined;
  }

  /** The handle of this id; undefined also for a node. */
  handle(id: number): Handle | undefined {
    const object = this.objects.get(id);
    return object instanceof Handle ? object : undefined;
  }

  add(object: Node | Handle): void {
    this.objects.set(object.id, object);
  }

  // ---- receiving

  enqueue(message: Message): void {
    this.queue.push(message);
    if (this.queue.length === 1) this.wake();
  }

  /** Queues that the node of a handle of this peer is gone. */
  enqueueNodeRelease(handle: Handle): void {
    handle.notification = new Message(MessageType.NODE_RELEASE, handle);
    this.enqueue(handle.notification);
  }

  /** What RECV gets next. */
  next(): Message | undefined {
    return this.queue.first;
  }

  /** RECV: the message leaves the queue, its handles get their ids, and what it says is gone loses its id. */
  take(message: Message): void {
    const { cargo, subject } = message;
    if (cargo === undefined) {
      this.end(new Set([subject]));
      return;
    }
    this.unqueue(cargo);
    this.quotas.objects.charge(cargo.handles.length);
    for (const [i, handle] of cargo.handles.entries()) {
      handle.id = this.idAfter(i);
      this.add(handle);
    }
    this.takeIds(cargo.handles.length);
  }

  /** Charges what a message takes while it is queued here, or returns it if negative. */
  chargeQueued(senderUid: number, objects: number, bytes: number): void {
    this.quotas.objects.chargeFrom(senderUid, objects);
    if (bytes !== 0) this.quotas.bytes.chargeFrom(senderUid, bytes);
  }

  private unqueue(cargo: Cargo): void {
    const { message, payload, sender, objects } = cargo;
    this.queue.remove(message);
    (message.subject as Node).queued.remove(cargo);
    this.chargeQueued(sender.credentials.uid, -objects, -payload.length);
  }

  // ---- releasing

  /** RELEASE: one transaction, all or nothing. An id that is named twice counts once. */
  release(ids: Iterable<number>): Errno {
    const objects = new Set<Node | Handle>();
    for (const id of ids) {
      const object = this.objects.get(id);
      if (object === undefined) return Errno.EBADRQC;
      objects.add(object);
    }
    this.end(objects);
    return Errno.OK;
  }

  /** The last close: nodes end, and with them all that is queued, and then handles. */
  close(): void {
    const nodes = new Set<Node>();
    const handles = new Set<Handle>();
    for (const object of this.objects.values()) {
      if (object instanceof Node) nodes.add(object);
      else handles.add(object);
    }
    this.end(nodes);
    this.end(handles);
  }

  /**
   * Ends nodes and handles of this peer. Messages that wait for such a node are dropped with the handles they carry. Others are
   * told of nodes first, then of handles.
   */
  private end(objects: ReadonlySet<Node | Handle>): void {
    const nodes: Node[] = [];
    const handles: Handle[] = [];
    for (const object of objects) {
      this.objects.delete(object.id);
      this.quotas.objects.charge(-1);
      if (object instanceof Node) nodes.push(object);
      else handles.push(object);
    }
    for (const node of nodes) {
      node.isLive = false;
      this.withdrawNotification(node);
      for (const cargo of node.queued) {
        this.unqueue(cargo);
        for (const handle of cargo.handles) handles.push(handle);
      }
    }
    for (const handle of handles) {
      handle.node.handles.remove(handle);
      this.withdrawNotification(handle);
    }
    for (const node of nodes) for (const handle of node.handles) handle.holder.enqueueNodeRelease(handle);
    for (const { node } of handles) if (node.isLive) node.owner.noteHandleRelease(node);
  }

  private withdrawNotification(object: Node | Handle): void {
    if (object.notification !== undefined) this.queue.remove(object.notification);
    object.notification = undefined;
  }

  /** Handles to a live node of this peer are gone: it is told if they were the last. */
  private noteHandleRelease(node: Node): void {
    if (node.handles.length > 0 || node.notification !== undefined) return;
    node.notification = new Message(MessageType.HANDLE_RELEASE, node);
    this.enqueue(node.notification);
  }
}
