import { type Budgets, Quota, type Share } from '../../../bus/quota.js';

/** What a user may have in all its peers together. */
export interface Limits {
  /** Nodes, handles, queued messages and the handles that those carry. */
  readonly objects: number;
  /** Bytes of payload in queued messages. */
  readonly bytes: number;
}

/** Those of the reference. The ABI gives nobody a way to change them. */
export const LIMITS: Limits = { objects: 2 ** 20, bytes: 2 ** 30 };

/** What a peer or a user uses of its limits. */
export class Quotas {
  readonly objects: Quota;
  readonly bytes: Quota;

  /** Those of one of a user's peers if `parent` is given, else of the user. */
  constructor(
    { objects, bytes }: Limits,
    uid: number,
    share: Share,
    { parent, budgets }: { readonly parent?: Quotas; readonly budgets?: Budgets },
  ) {
    this.objects = new Quota(objects, uid, share, parent?.objects, budgets?.handles);
    this.bytes = new Quota(bytes, uid, share, parent?.bytes, budgets?.heldBytes);
  }

  /** What is in use of each. */
  used(): Limits {
    return { objects: this.objects.used, bytes: this.bytes.used };
  }
}

/** The resource context of all peers that were opened under one uid. */
export class Account {
  readonly uid: number;
  readonly limits: Limits;
  readonly quotas: Quotas;
  peers = 0;
  private readonly share: Share;

  constructor(uid: number, limits: Limits, share: Share, budgets: Budgets) {
    this.uid = uid;
    this.limits = limits;
    this.share = share;
    this.quotas = new Quotas(limits, uid, share, { budgets });
  }

  /** The quotas of one more peer, with the same limits. */
  quotasOfPeer(): Quotas {
    return new Quotas(this.limits, this.uid, this.share, { parent: this.quotas });
  }
}
