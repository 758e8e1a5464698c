import type { Budget } from '../base/budget.js';

/** The limits of a user or a peer. */
export interface Limits {
  readonly slices: number;
  readonly handles: number;
  /** Bytes of slices from SEND until they are dequeued, charged to the receiver. */
  readonly inflightBytes: number;
  /** Descriptors likewise. */
  readonly inflightFds: number;
}

/** The limits of a user. */
export interface UserLimits extends Limits {
  readonly peers: number;
  /** Bytes of the pages that slices are in, from SEND until they are free. */
  readonly heldBytes: number;
}

export const DEFAULT_LIMITS: Limits = {
  slices: 16384,
  handles: 65536,
  inflightBytes: 16 * 1024 * 1024,
  inflightFds: 4096,
};
export const DEFAULT_MAX_PEERS = 8192;

/** What there is for all users together. */
export interface Budgets {
  readonly peers: Budget;
  readonly slices: Budget;
  readonly handles: Budget;
  readonly heldBytes: Budget;
  /** Pages that free parts of pools keep for what comes next. */
  readonly warmBytes: Budget;
}

/** How much another user may hold of what is left of a resource, counting what it holds already. */
export type Share = (left: number) => number;

/** What a charge does not fit in: the limit of a peer or its user, the share of another user, or what there is for all. */
export interface Obstacle {
  readonly bound: 'peer' | 'user' | 'share' | 'total';
  readonly used: number;
  readonly max: number;
}

/** One resource of a peer, whose use counts for its user too, or of a user, whose use counts for all users. */
export class Quota {
  max: number;
  used = 0;
  /** The user it belongs to, by uid. */
  private readonly uid: number;
  private readonly share: Share;
  /** That user's quota, if this is a peer's. */
  private readonly parent: Quota | undefined;
  private readonly budget: Budget | undefined;
  /** Use by senders of other users, by their uid. */
  private foreign: Map<number, number> | undefined;

  /** A peer's if `parent` is that of its user. `budget`, of a user's quota, is what all users have. */
  constructor(max: number, uid: number, share: Share, parent?: Quota, budget?: Budget) {
    this.max = max;
    this.uid = uid;
    this.share = share;
    this.parent = parent;
    this.budget = budget;
  }

  /** Whether `amount` more is within the limits; nothing more always is, even when a limit was lowered below use. */
  fits(amount: number): boolean {
    return (
      amount === 0 ||
      (this.used + amount <= this.max &&
        (this.budget === undefined || this.budget.fits(this.used, amount)) &&
        (this.parent === undefined || this.parent.fits(amount)))
    );
  }

  /** How much more of a user's fits. */
  get left(): number {
    const own = Math.max(0, this.max - this.used);
    return this.budget === undefined ? own : Math.min(own, this.budget.left(this.used));
  }

  /** Takes what fits(), or returns it if negative. */
  charge(amount: number): void {
    this.used += amount;
    this.budget?.charge(amount);
    this.parent?.charge(amount);
  }

  /** fits() for what a sender takes: another user may have only its share. */
  fitsFrom(uid: number, amount: number): boolean {
    return this.fits(amount) && (uid === this.uid || amount === 0 || this.isFairShare(uid, amount));
  }

  private isFairShare(uid: number, amount: number): boolean {
    const held = this.foreign?.get(uid) ?? 0;
    const isFair = held + amount <= this.share(this.max - this.used + held);
    return isFair && (this.parent === undefined || this.parent.isFairShare(uid, amount));
  }

  /** charge() for what a sender takes. */
  chargeFrom(uid: number, amount: number): void {
    this.charge(amount);
    if (uid !== this.uid) this.countForeign(uid, amount);
  }

  private countForeign(uid: number, amount: number): void {
    this.foreign ??= new Map();
    const held = (this.foreign.get(uid) ?? 0) + amount;
    if (held === 0) this.foreign.delete(uid);
    else this.foreign.set(uid, held);
    this.parent?.countForeign(uid, amount);
  }

  /** What `amount` does not fit in that does not fit. */
  obstacle(amount: number): Obstacle {
    const { used, max, parent, budget } = this;
    const above = parent?.obstacle(amount);
    if (above !== undefined && above.bound !== 'share') return above;
    if (used + amount > max) return { bound: parent === undefined ? 'user' : 'peer', used, max };
    if (budget !== undefined && !budget.fits(used, amount)) {
      return { bound: 'total', used: budget.used, max: budget.max };
    }
    return { bound: 'share', used, max };
  }
}

/** What a peer has a limit of as well as its user. */
export class Quotas {
  readonly slices: Quota;
  readonly handles: Quota;
  readonly inflightBytes: Quota;
  readonly inflightFds: Quota;

  /** Those of a peer if `parent` are those of its user. */
  constructor(
    limits: Limits,
    uid: number,
    share: Share,
    { parent, budgets }: { readonly parent?: Quotas; readonly budgets?: Pick<Budgets, 'slices' | 'handles'> },
  ) {
    this.slices = new Quota(limits.slices, uid, share, parent?.slices, budgets?.slices);
    this.handles = new Quota(limits.handles, uid, share, parent?.handles, budgets?.handles);
    this.inflightBytes = new Quota(limits.inflightBytes, uid, share, parent?.inflightBytes);
    this.inflightFds = new Quota(limits.inflightFds, uid, share, parent?.inflightFds);
  }

  /** What is in use of each. */
  used(): Limits {
    return {
      slices: this.slices.used,
      handles: this.handles.used,
      inflightBytes: this.inflightBytes.used,
      inflightFds: this.inflightFds.used,
    };
  }
}

/** Everything opened under one uid, across all its peers. */
export class User {
  readonly uid: number;
  readonly limits: Limits;
  readonly quotas: Quotas;
  readonly peers: Quota;
  readonly heldBytes: Quota;
  readonly warmBytes: Quota;
  private readonly share: Share;

  constructor(uid: number, limits: UserLimits, share: Share, budgets: Budgets) {
    this.uid = uid;
    this.limits = limits;
    this.share = share;
    this.quotas = new Quotas(limits, uid, share, { budgets });
    this.peers = new Quota(limits.peers, uid, share, undefined, budgets.peers);
    this.heldBytes = new Quota(limits.heldBytes, uid, share, undefined, budgets.heldBytes);
    this.warmBytes = new Quota(Number.POSITIVE_INFINITY, uid, share, undefined, budgets.warmBytes);
  }

  /** The quotas of one more peer, with the same limits. */
  quotasOfPeer(): Quotas {
    return new Quotas(this.limits, this.uid, this.share, { parent: this.quotas });
  }
}

/** What can be refused. */
export type Resource = keyof UserLimits | 'descriptors';

/** A call that failed because of a quota. */
export interface Refusal<Holder extends object = object> {
  /** Whose quota it is. */
  readonly holder: Holder;
  readonly resource: Resource;
  readonly amount: number;
  readonly obstacle: Obstacle;
}
