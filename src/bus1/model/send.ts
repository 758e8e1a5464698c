import { Errno } from '../../base/errno.js';
import { POOL_SIZE, wholePages } from '../../bus/pool.js';
import type { Slice } from '../../bus/slice.js';
import type { HeldFiles, Identity, Suspension } from '../../device.js';
import type { HandleId } from './handle-id.js';
import { type Cargo, Message, MessageType } from './message.js';
import type { Handle, Node } from './node.js';
import type { Peer } from './peer.js';
import { type SliceLayout, sliceLayout } from './slice-layout.js';

/** A receiver and the slice reserved there. Nothing of it can be seen before the transaction is committed. */
export interface Delivery {
  readonly receiver: Peer;
  readonly slice: Slice;
  readonly layout: SliceLayout;
  /** The sender's security context, if it is to be written to the slice. */
  readonly secctx: Uint8Array | undefined;
}

/** Where a message really comes from; asked only if a receiver wants to know. */
export interface Origin {
  securityContext(): Uint8Array | undefined | Errno;
}

interface ReservedDelivery extends Delivery {
  /** The node addressed; undefined for the sender's own seed. */
  readonly node: Node | undefined;
}

const NO_HANDLES: readonly Handle[] = [];

/**
 * A SEND in the making: first everything that may fail, which reserves but shows nothing, then commit() or abort().
 *
 * The order of the checks is the contract's: carry() each handle, then attach(), then address() each destination,
 * then checkOwnNodes(), which must succeed before commit().
 */
export class SendTransaction {
  readonly deliveries: readonly Delivery[];
  private readonly reserved: ReservedDelivery[] = [];
  private readonly sender: Peer;
  private readonly nBytes: number;
  private readonly stamp: number;
  private readonly carried: Node[] = [];
  private readonly created: Handle[] = [];
  private files: HeldFiles | undefined;
  /** Without a security context, which only some receivers get. */
  private plainLayout: SliceLayout | undefined;
  private readonly origin: Origin;
  private secctx: Uint8Array | undefined | Errno;
  private hasReadSecctx = false;

  /** A message of `nBytes` payload from `sender`. */
  constructor(sender: Peer, nBytes: number, origin: Origin) {
    this.sender = sender;
    this.nBytes = nBytes;
    this.deliveries = this.reserved;
    this.stamp = sender.bus.nextStamp();
    this.origin = origin;
  }

  /** Adds a handle that every delivery carries. */
  carry(id: HandleId): Errno {
    const handle = this.sender.handleOrCreate(id, this.created);
    if (handle === undefined) return Errno.ENXIO;
    this.carried.push(handle.node);
    return Errno.OK;
  }

  /** Ends the list of what is carried: the handles so far and these descriptors, of which it takes over one reference. */
  attach(files: HeldFiles | undefined): void {
    this.files = files;
  }

  /** Reserves the delivery to one destination. */
  address(id: HandleId): Errno {
    const handle = this.sender.handleOrCreate(id, this.created);
    if (handle === undefined) return Errno.ENXIO;
    const { node } = handle;
    if (node.seenBy === this.stamp) return Errno.ENOTUNIQ;
    node.seenBy = this.stamp;
    if (node.handleOf(node.owner) === undefined) return Errno.ESHUTDOWN;
    return this.reserve(node.owner, node);
  }

  /** Reserves the delivery as the sender's own seed. */
  addressSeed(): Errno {
    return this.reserve(this.sender, undefined);
  }

  private reserve(receiver: Peer, node: Node | undefined): Errno {
    const { sender } = this;
    const nHandles = this.carried.length;
    const nFds = this.files?.count ?? 0;
    const secctx = receiver.wantsSecctx ? this.securityContext() : undefined;
    if (typeof secctx === 'number') return secctx;
    const layout = this.layoutWith(secctx);
    const { size } = layout;
    const isInFlight = node !== undefined;
    const { uid, limits } = sender.user;
    const { quotas } = receiver;
    if (!quotas.slices.fitsFrom(uid, 1)) return receiver.refuse('slices', 1, sender);
    if (!quotas.handles.fitsFrom(uid, nHandles)) return receiver.refuse('handles', nHandles, sender);
    // one call makes no more handles than one user may have, however many users it sends to
    if (nHandles * (this.reserved.length + 1) > limits.handles) return Errno.EDQUOT;
    if (size > POOL_SIZE) return Errno.EMSGSIZE;
    if (isInFlight && !quotas.inflightBytes.fitsFrom(uid, size)) return receiver.refuse('inflightBytes', size, sender);
    if (isInFlight && !quotas.inflightFds.fitsFrom(uid, nFds)) return receiver.refuse('inflightFds', nFds, sender);
    const pages = wholePages(size);
    if (!receiver.user.heldBytes.fits(pages)) return receiver.refuse('heldBytes', pages, sender);
    const slice = receiver.slices.reserve(size, uid);
    if (slice === undefined) return Errno.EXFULL;
    if (nHandles > 0) quotas.handles.chargeFrom(uid, nHandles);
    if (isInFlight) receiver.chargeInFlight(uid, size, nFds);
    this.reserved.push({ receiver, slice, layout, node, secctx });
    return Errno.OK;
  }

  private layoutWith(secctx: Uint8Array | undefined): SliceLayout {
    const nFds = this.files?.count ?? 0;
    if (secctx !== undefined) return sliceLayout(this.nBytes, this.carried.length, nFds, secctx.length);
    this.plainLayout ??= sliceLayout(this.nBytes, this.carried.length, nFds, 0);
    return this.plainLayout;
  }

  private securityContext(): Uint8Array | undefined | Errno {
    if (!this.hasReadSecctx) this.secctx = this.origin.securityContext();
    this.hasReadSecctx = true;
    return this.secctx;
  }

  /** Whether the sender's quota has room for the nodes this call creates. */
  checkOwnNodes(): Errno {
    const { length } = this.created;
    return this.sender.quotas.handles.fits(length) ? Errno.OK : this.sender.refuse('handles', length, this.sender);
  }

  /** Delivers, as one transaction. */
  commit(sender: Identity): void {
    const sequence = this.sender.bus.nextSequence();
    this.sender.quotas.handles.charge(this.created.length);
    for (const { receiver, slice, layout, node } of this.reserved) {
      const handles = this.carried.length === 0 ? NO_HANDLES : this.carryTo(receiver);
      this.files?.retain();
      const cargo: Cargo = {
        sender,
        slice,
        layout,
        handles,
        files: this.files,
        senderUid: this.sender.user.uid,
      };
      if (node === undefined) receiver.inbox.setSeed(new Message(MessageType.DATA, sequence, undefined, cargo));
      else receiver.inbox.enqueue(new Message(MessageType.DATA, sequence, node.handleOf(receiver), cargo));
    }
    this.files?.release();
  }

  private carryTo(receiver: Peer): readonly Handle[] {
    const handles = this.carried.map((node) => node.handleFor(receiver));
    for (const handle of handles) handle.addCarried();
    return handles;
  }

  /** Takes every reservation back; slices only when `suspension` ends, if something may be written to them until then. */
  abort(suspension?: Pick<Suspension, 'keep'>): void {
    for (const { receiver, slice, node } of this.reserved) {
      if (suspension === undefined) receiver.slices.dequeue(slice);
      else suspension.keep(receiver.slices.dequeueLater(slice));
      const { uid } = this.sender.user;
      if (this.carried.length > 0) receiver.quotas.handles.chargeFrom(uid, -this.carried.length);
      if (node !== undefined) receiver.chargeInFlight(uid, -slice.size, -(this.files?.count ?? 0));
    }
    this.sender.uncreate(this.created);
    this.files?.release();
  }
}
