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

/** One resource of a peer, whose use counts for its user too, or of a user. */
export class Quota {
  max: number;
  used = 0;
  /** The user it belongs to, by uid. */
  private readonly uid: number;
  /** That user's quota, if this is a peer's. */
  private readonly parent: Quota | undefined;
  /** Use by senders of other users, by their uid. */
  private foreign: Map<number, number> | undefined;

  constructor(max: number, uid: number, parent?: Quota) {
    this.max = max;
    this.uid = uid;
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

  /** fits() for what a sender takes: another user may have at most half of what is left, counting what it holds already. */
  fitsFrom(uid: number, amount: number): boolean {
    return this.fits(amount) && (uid === this.uid || amount === 0 || this.isFairShare(uid, amount));
  }

  private isFairShare(uid: number, amount: number): boolean {
    const held = this.foreign?.get(uid) ?? 0;
    const isFair = held + amount <= (this.max - this.used + held) / 2;
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
  constructor(limits: Limits, uid: number, parent?: Quotas) {
    this.slices = new Quota(limits.slices, uid, parent?.slices);
    this.handles = new Quota(limits.handles, uid, parent?.handles);
    this.inflightBytes = new Quota(limits.inflightBytes, uid, parent?.inflightBytes);
    this.inflightFds = new Quota(limits.inflightFds, uid, parent?.inflightFds);
  }
}

/** Everything opened under one uid, across all its peers. */
export class User {
  readonly uid: number;
  readonly limits: Limits;
  readonly quotas: Quotas;
  peers = 0;

  constructor(uid: number, limits: Limits) {
    this.uid = uid;
    this.limits = limits;
    this.quotas = new Quotas(limits, uid);
  }
}
