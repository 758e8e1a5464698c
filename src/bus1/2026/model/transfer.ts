import { Errno } from '../../../base/errno.js';
import { Handle, Node } from './node-2026.js';
import type { Peer } from './peer-2026.js';

/**
 * A TRANSFER in the making, which reserves but shows nothing before it ends: with commit(); with abort(), which leaves the ids that
 * were told taken; or with withdraw(), as if it had never been.
 */
export class TransferTransaction {
  private readonly from: Peer;
  private readonly to: Peer;
  private readonly nodes: Node[] = [];
  private readonly handles: Handle[] = [];

  constructor(from: Peer, to: Peer) {
    this.from = from;
    this.to = to;
  }

  /** The node that a handle of the giving peer refers to. */
  find(id: number): Node | Errno {
    return this.from.handle(id)?.node ?? Errno.EBADRQC;
  }

  /** A new node of the giving peer. */
  create(): Node | Errno {
    if (!this.from.quotas.objects.fits(1)) return Errno.EDQUOT;
    this.from.quotas.objects.charge(1);
    const node = new Node(this.from, this.nextId(this.from));
    this.nodes.push(node);
    return node;
  }

  /** A new handle of the receiving peer. */
  give(node: Node): Handle | Errno {
    if (!this.to.quotas.objects.fits(1)) return Errno.EDQUOT;
    this.to.quotas.objects.charge(1);
    const handle = new Handle(this.to, node, this.nextId(this.to));
    this.handles.push(handle);
    return handle;
  }

  private nextId(peer: Peer): number {
    const { from, to, nodes, handles } = this;
    return peer.idAfter((peer === from ? nodes.length : 0) + (peer === to ? handles.length : 0));
  }

  commit(): void {
    this.takeIds();
    for (const node of this.nodes) this.from.add(node);
    for (const handle of this.handles) {
      this.to.add(handle);
      handle.node.handles.push(handle);
    }
    for (const handle of this.handles) if (!handle.node.isLive) this.to.enqueueNodeRelease(handle);
  }

  abort(): void {
    this.takeIds();
    this.withdraw();
  }

  withdraw(): void {
    this.from.quotas.objects.charge(-this.nodes.length);
    this.to.quotas.objects.charge(-this.handles.length);
  }

  private takeIds(): void {
    this.from.takeIds(this.nodes.length);
    this.to.takeIds(this.handles.length);
  }
}
