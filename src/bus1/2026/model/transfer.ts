import { Errno } from '../../../base/errno.js';
import { Handle, Node } from './node-2026.js';
import type { Peer } from './peer-2026.js';

/**
 * A TRANSFER in the making: it takes ids, for ever, and reserves, but shows nothing before commit(); or it ends with abort().
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

  /** A new node of the giving peer. */
  create(): Node | Errno {
    if (!this.from.quotas.objects.fits(1)) return Errno.EDQUOT;
    this.from.quotas.objects.charge(1);
    const node = new Node(this.from, this.from.takeId());
    this.nodes.push(node);
    return node;
  }

  /** A new handle of the receiving peer, to the node that a handle of the giving one refers to. */
  copy(id: number): Handle | Errno {
    const source = this.from.handle(id);
    return source === undefined ? Errno.EBADRQC : this.give(source.node);
  }

  /** A new handle of the receiving peer. */
  give(node: Node): Handle | Errno {
    if (!this.to.quotas.objects.fits(1)) return Errno.EDQUOT;
    this.to.quotas.objects.charge(1);
    const handle = new Handle(this.to, node, this.to.takeId());
    this.handles.push(handle);
    return handle;
  }

  commit(): void {
    for (const node of this.nodes) this.from.add(node);
    for (const handle of this.handles) {
      this.to.add(handle);
      handle.node.handles.push(handle);
    }
    for (const handle of this.handles) if (!handle.node.isLive) this.to.enqueueNodeRelease(handle);
  }

  abort(): void {
    this.from.quotas.objects.charge(-this.nodes.length);
    this.to.quotas.objects.charge(-this.handles.length);
  }
}
