import { Errno } from '../../../base/errno.js';
import { Cargo } from './message-2026.js';
import { Handle, type Node } from './node-2026.js';
import type { Peer } from './peer-2026.js';

/**
 * A SEND in the making: carry() each handle, then address() each destination, which reserves but shows nothing; then commit() or
 * abort().
 */
export class Multicast {
  private readonly sender: Peer;
  private readonly payload: Uint8Array;
  private readonly carried: Node[] = [];
  private readonly destinations: Node[] = [];

  constructor(sender: Peer, payload: Uint8Array) {
    this.sender = sender;
    this.payload = payload;
  }

  /** Adds a handle of which every receiver gets a copy. */
  carry(id: number): Errno {
    const handle = this.sender.handle(id);
    if (handle === undefined) return Errno.EBADRQC;
    this.carried.push(handle.node);
    return Errno.OK;
  }

  /** Adds a destination. What is sent to a released node vanishes. */
  address(id: number): Errno {
    const node = this.sender.handle(id)?.node;
    if (node === undefined) return Errno.EBADRQC;
    if (!node.isLive) return Errno.OK;
    const { owner } = node;
    const { uid } = this.sender.account;
    if (!owner.quotas.objects.fitsFrom(uid, this.objects)) return Errno.EDQUOT;
    if (!owner.quotas.bytes.fitsFrom(uid, this.payload.length)) return Errno.EDQUOT;
    owner.chargeQueued(uid, this.objects, this.payload.length);
    this.destinations.push(node);
    return Errno.OK;
  }

  /** What each delivery counts for: the message and what it carries. */
  private get objects(): number {
    return 1 + this.carried.length;
  }

  /** Delivers, as one transaction: all messages, and behind them what is to be said of carried handles whose nodes are gone. */
  commit(): void {
    const orphans: Handle[] = [];
    for (const node of this.destinations) {
      const handles = this.carried.map((target) => new Handle(node.owner, target, 0));
      for (const handle of handles) {
        handle.node.handles.push(handle);
        if (!handle.node.isLive) orphans.push(handle);
      }
      const cargo = new Cargo(node, this.payload, handles, this.sender.opener.identity);
      node.queued.push(cargo);
      node.owner.enqueue(cargo.message);
    }
    for (const handle of orphans) handle.holder.enqueueNodeRelease(handle);
  }

  abort(): void {
    const { uid } = this.sender.account;
    for (const { owner } of this.destinations) owner.chargeQueued(uid, -this.objects, -this.payload.length);
  }
}
