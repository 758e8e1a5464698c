import { Errno } from '../../base/errno.js';
import { Table } from '../../bus/id-table.js';
import type { Pool, Slice } from '../../bus/pool.js';
import { Quotas, type User } from '../../bus/quota.js';
import type { Bus } from './bus.js';
import { assignedId, type HandleId, isAssignedByBus } from './handle-id.js';
import { Message, MessageType } from './message.js';
import { type Handle, Node } from './node.js';
import { Queue } from './queue.js';

/** A connection to the bus: what one open() of the device makes. */
export class Peer {
  readonly bus: Bus;
  readonly serial: number;
  readonly user: User;
  readonly quotas: Quotas;
  readonly pool: Pool;
  readonly queue = new Queue();
  isConnected = true;
  wantsSecctx = false;
  seed: Message | undefined;
  /** Bytes of the pool in slices of this peer, queued or exposed. */
  poolBytes = 0;
  /** Visible handles by id. */
  private readonly handles = new Table<Handle>();
  /** Slices the user has received or peeked and not yet released, by offset. */
  private readonly exposed = new Table<Slice>();
  private lastAssigned = 0;
  private readonly wake: () => void;

  /** Made by Bus.addPeer(). */
  constructor(bus: Bus, serial: number, user: User, pool: Pool, wake: () => void) {
    this.bus = bus;
    this.serial = serial;
    this.user = user;
    this.quotas = new Quotas(user.limits, user.uid, user.quotas);
    this.pool = pool;
    this.wake = wake;
  }

  get isReadable(): boolean {
    return this.queue.deliverable > 0;
  }

  visibleHandles(): Iterable<Handle> {
    return this.handles.values();
  }

  exposedSlices(): Iterable<Slice> {
    return this.exposed.values();
  }

  /** Tells that `amount` more of a resource of this peer was asked for than it may use. */
  refuse(resource: keyof Quotas, amount: number, asker: Peer): Errno {
    this.bus.onRefusal?.({ peer: this, resource, amount, asker });
    return Errno.EDQUOT;
  }

  // ---- handles

  handle(id: HandleId): Handle | undefined {
    return this.handles.get(id);
  }

  /**
   * The handle a call means by `id`. One that could only mean a node of the peer's own which does not exist yet makes
   * that node and appends its handle to `created`; uncreate() takes it back if the call fails. Undefined is ENXIO.
   */
  handleOrCreate(id: HandleId, created: Handle[]): Handle | undefined {
    const existing = this.handles.get(id);
    if (existing !== undefined) return existing;
    if (isAssignedByBus(id)) return undefined;
    const handle = new Node(this).handleFor(this);
    handle.id = id;
    handle.userReferences = 1;
    this.handles.set(id, handle);
    created.push(handle);
    return handle;
  }

  /** Takes back nodes that nothing else knows yet. */
  uncreate(created: readonly Handle[]): void {
    for (const handle of created) this.handles.delete(handle.id);
  }

  /** A handle got its first user reference: it becomes known by an id the bus assigns. */
  show(handle: Handle): void {
    handle.id = assignedId(++this.lastAssigned, !handle.isOwner);
    this.handles.set(handle.id, handle);
    this.adjustDeliverable(handle.pending);
  }

  /** A handle lost its last user reference: its id is gone. */
  hide(handle: Handle): void {
    this.handles.delete(handle.id);
    this.adjustDeliverable(-handle.pending);
  }

  /** HANDLE_RELEASE. */
  releaseHandle(id: HandleId): Errno {
    const handle = this.handles.get(id);
    if (handle === undefined) return isAssignedByBus(id) ? Errno.ENXIO : Errno.EBUSY;
    if (handle.isOwner && handle.node.isLive && handle.userReferences === 1) return Errno.EBUSY;
    handle.dropUserReferences(1);
    return Errno.OK;
  }

  /** HANDLE_TRANSFER to `receiver`. Returns the receiver's handle, "destroyed" where there is none to get, or an errno. */
  transferHandle(id: HandleId, receiver: Peer): Handle | 'destroyed' | Errno {
    const created: Handle[] = [];
    const source = this.handleOrCreate(id, created);
    if (source === undefined) return Errno.ENXIO;
    if (!source.node.isLive) return 'destroyed';
    if (!receiver.quotas.handles.fits(1)) {
      this.uncreate(created);
      return receiver.refuse('handles', 1, this);
    }
    receiver.quotas.handles.charge(1);
    if (!this.quotas.handles.fits(created.length)) {
      receiver.quotas.handles.charge(-1);
      this.uncreate(created);
      return this.refuse('handles', created.length, this);
    }
    this.quotas.handles.charge(created.length);
    const handle = source.node.handleFor(receiver);
    handle.addUserReference();
    return handle;
  }

  /** NODES_DESTROY: one transaction, all or nothing. */
  destroyNodes(ids: readonly HandleId[], releaseHandles: boolean): Errno {
    const created: Handle[] = [];
    const owned: Handle[] = [];
    const error = this.checkDestroy(ids, owned, created);
    if (error !== Errno.OK) {
      this.uncreate(created);
      return error;
    }
    this.quotas.handles.charge(created.length);
    this.destroy(owned.map((handle) => handle.node));
    if (releaseHandles) for (const handle of owned) handle.dropUserReferences(1);
    return Errno.OK;
  }

  private checkDestroy(ids: readonly HandleId[], owned: Handle[], created: Handle[]): Errno {
    const stamp = this.bus.nextStamp();
    for (const id of ids) {
      const handle = this.handleOrCreate(id, created);
      if (handle === undefined) return Errno.ENXIO;
      if (handle.node.seenBy === stamp) return Errno.ENOTUNIQ;
      handle.node.seenBy = stamp;
      if (!handle.isOwner) return Errno.EREMOTE;
      if (!handle.node.isLive) return Errno.ESTALE;
      owned.push(handle);
    }
    return this.quotas.handles.fits(created.length) ? Errno.OK : this.refuse('handles', created.length, this);
  }

  /** Destroys nodes of this peer in one transaction and queues a NODE_DESTROY for each of their handles. */
  private destroy(nodes: readonly Node[]): void {
    if (nodes.length === 0) return;
    const sequence = this.bus.nextSequence();
    for (const node of nodes) {
      node.withdrawRelease();
      node.destroyedAt = sequence;
      node.strong++; // what a live node pins is a reference like any other from here on
      for (const handle of node.handles()) {
        handle.destroyNotification = new Message(MessageType.NODE_DESTROY, sequence, handle);
        handle.peer.enqueue(handle.destroyNotification);
      }
    }
  }

  // ---- queue

  /** Appends a message and wakes the peer if there was nothing to receive before. */
  enqueue(message: Message): void {
    const before = this.queue.deliverable;
    this.queue.push(message);
    if (before === 0 && this.queue.deliverable > 0) this.wake();
  }

  /** The last strong reference to a node of this peer is gone. */
  queueRelease(node: Node): void {
    node.releaseNotification = new Message(MessageType.NODE_RELEASE, this.bus.nextSequence(), node.handleFor(this));
    this.enqueue(node.releaseNotification);
  }

  private adjustDeliverable(by: number): void {
    const before = this.queue.deliverable;
    this.queue.deliverable += by;
    if (before === 0 && this.queue.deliverable > 0) this.wake();
  }

  /** The message that RECV gets next, after dropping those before it that can no longer be delivered. */
  nextMessage(): Message | undefined {
    for (;;) {
      const message = this.queue.head;
      if (message === undefined || isDeliverable(message)) return message;
      this.unqueue(message);
      this.dropCargo(message);
    }
  }

  /** Whether the message that can be received after `message` belongs to the same transaction. */
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
    return this.quotas.handles.fits(validHandles(message).length);
  }

  /** PEEK: exposes slice and handles and leaves the message where it is. */
  peek(message: Message): void {
    if (message.cargo === undefined) return;
    const handles = validHandles(message);
    this.quotas.handles.charge(handles.length);
    for (const handle of handles) handle.addUserReference();
    this.expose(message.cargo.slice);
  }

  /** RECV: takes the message; its slice and handles become the user's, and the files it carries are let go. */
  take(message: Message): void {
    this.unqueue(message);
    const { cargo } = message;
    if (cargo === undefined) return;
    for (const handle of cargo.handles) {
      if (handle.node.isDestroyedBefore(message.sequence)) this.quotas.handles.charge(-1);
      else handle.addUserReference();
      handle.dropCarried();
    }
    this.returnInFlight(message);
    this.expose(cargo.slice);
    cargo.slice.isQueued = false;
    cargo.files?.release();
  }

  /** Gives back what a message holds that nobody will receive any more. */
  private dropCargo(message: Message): void {
    const { cargo } = message;
    if (cargo === undefined) return;
    this.returnInFlight(message);
    this.quotas.handles.charge(-cargo.handles.length);
    cargo.slice.isQueued = false;
    this.freeIfUnused(cargo.slice);
    cargo.files?.release();
    for (const handle of cargo.handles) handle.dropCarried();
  }

  /** Charges what a message from `senderUid` takes while it is queued here, or returns it if negative. */
  chargeInFlight(senderUid: number, bytes: number, fds: number): void {
    this.quotas.inflightBytes.chargeFrom(senderUid, bytes);
    if (fds !== 0) this.quotas.inflightFds.chargeFrom(senderUid, fds);
  }

  private returnInFlight(message: Message): void {
    if (message.cargo === undefined || message.destination === undefined) return;
    this.chargeInFlight(message.cargo.senderUid, -message.cargo.slice.size, -(message.cargo.files?.count ?? 0));
  }

  /** Replaces the seed. */
  setSeed(seed: Message | undefined): void {
    const old = this.seed;
    this.seed = seed;
    if (old !== undefined) this.dropCargo(old);
  }

  // ---- slices

  /** Reserves a slice for a message that is about to be queued, or undefined when no free block is large enough. */
  allocateSlice(size: number): Slice | undefined {
    const slice = this.pool.allocate(size);
    if (slice === undefined) return undefined;
    slice.isQueued = true;
    this.poolBytes += size;
    this.quotas.slices.charge(1);
    return slice;
  }

  /** Takes a reserved slice back. */
  cancelSlice(slice: Slice): void {
    slice.isQueued = false;
    this.freeIfUnused(slice);
  }

  private expose(slice: Slice): void {
    slice.isExposed = true;
    this.exposed.set(slice.offset, slice);
  }

  /** SLICE_RELEASE. */
  releaseSlice(offset: number): Errno {
    const slice = this.exposed.get(offset);
    if (slice === undefined) return Errno.ENXIO;
    this.exposed.delete(offset);
    slice.isExposed = false;
    this.freeIfUnused(slice);
    return Errno.OK;
  }

  private freeIfUnused(slice: Slice): void {
    if (slice.isQueued || slice.isExposed) return;
    this.poolBytes -= slice.size;
    this.pool.release(slice);
    this.quotas.slices.charge(-1);
  }

  // ---- ending

  /** PEER_RESET with FLUSH: gives everything up but the seed, and the nodes and handles it carries, if `keepSeed`. */
  flush(keepSeed: boolean): void {
    const kept = new Set(keepSeed ? this.seed?.cargo?.handles : []);
    const handles = [...this.handles.values()].filter((handle) => !kept.has(handle));
    this.destroy(handles.filter((handle) => handle.isOwner && handle.node.isLive).map((handle) => handle.node));
    for (const handle of handles) handle.dropUserReferences(handle.userReferences);
    if (!keepSeed) this.setSeed(undefined);
    for (let message = this.queue.head; message !== undefined; message = this.queue.head) {
      this.unqueue(message);
      this.dropCargo(message);
    }
    for (const { offset } of [...this.exposed.values()]) this.releaseSlice(offset);
  }

  /** PEER_DISCONNECT and the last close: everything goes, for ever. */
  disconnect(): void {
    if (!this.isConnected) return;
    this.isConnected = false;
    this.flush(false);
    this.wake();
  }
}

const isDeliverable = (message: Message): boolean => message.destination?.isVisible === true && !message.isLate;

/** The handles a message carries that are references: not those of nodes destroyed before it was sent. */
const validHandles = ({ cargo, sequence }: Message): readonly Handle[] =>
  cargo?.handles.filter((handle) => !handle.node.isDestroyedBefore(sequence)) ?? [];
