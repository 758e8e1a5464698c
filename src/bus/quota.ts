/** The limits of a user or a peer. */
export interface Limits {
  readonly slices: number;
  readonly handles: number;
  /** Bytes of slices from SEND until they are dequeued, charged to the receiver. */
  readonly inflightBytes: number;
  /** Descriptors likewise. */
  readonly inflightFds: number;
}

export const DEFAULT_LIMITS: Limits = {
  slices: 16384,
  handles: 65536,
  inflightBytes: 16 * 1024 * 1024,
  inflightFds: 4096,
};

/** How much another user may hold of what is left of a resource, counting what it holds already. */
export type Share = (left: number) => number;

/** One resource of a peer, whose use counts for its user too, or of a user. */
export class Quota {
  max: number;
  used = 0;
  /** The user it belongs to, by uid. */
  private readonly uid: number;
  /** That user's quota, if this is a peer's. */
  private readonly parent: Quota | undefined;
  private readonly share: Share;
  /** Use by senders of other users, by their uid. */
  private foreign: Map<number, number> | undefined;

  constructor(max: number, uid: number, share: Share, parent?: Quota) {
    this.max = max;
    this.uid = uid;
    this.share = share;
    this.parent = parent;
  }

  /** Whether `amount` more is within the limits; nothing more always is, even when a limit was lowered below use. */
  fits(amount: number): boolean {
    return amount === 0 || (this.used + amount <= this.max && (this.parent === undefined || this.parent.fits(amount)));
  }

  /** Takes what fits(), or returns it if negative. */
  charge(amount: number): void {
    this.used += amount;
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
}

/** All resources of a peer or a user. */
export class Quotas {
  readonly slices: Quota;
  readonly handles: Quota;
  readonly inflightBytes: Quota;
  readonly inflightFds: Quota;

  /** Those of a user, or of one of its peers if the user's are given. */
  constructor(limits: Limits, uid: number, share: Share, parent?: Quotas) {
    this.slices = new Quota(limits.slices, uid, share, parent?.slices);
    this.handles = new Quota(limits.handles, uid, share, parent?.handles);
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
  peers = 0;
  private readonly share: Share;

  constructor(uid: number, limits: Limits, share: Share) {
    this.uid = uid;
    this.limits = limits;
    this.share = share;
    this.quotas = new Quotas(limits, uid, share);
  }

  /** The quotas of one more peer, with the same limits. */
  quotasOfPeer(): Quotas {
    return new Quotas(this.limits, this.uid, this.share, this.quotas);
  }
}

export type Resource = keyof Limits;

/** Whoever has quotas of its own, beside those of its user. */
export interface QuotaHolder {
  readonly quotas: Quotas;
  readonly user: User;
}

/** A call that failed because of a quota. */
export interface Refusal<Holder extends QuotaHolder = QuotaHolder> {
  /** Whose quota it is. */
  readonly holder: Holder;
  readonly resource: Resource;
  readonly amount: number;
  /** Whose call it was. */
  readonly asker: Holder;
}
