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
  private readonly user: Quota | undefined;
  /** Use by senders of other users, by their uid. */
  private foreign: Map<number, number> | undefined;

  constructor(max: number, user: Quota | undefined) {
    this.max = max;
    this.user = user;
  }

  /** Whether `amount` more is within the limits; nothing more always is, even when a limit was lowered below use. */
  fits(amount: number): boolean {
    return amount === 0 || (this.used + amount <= this.max && (this.user === undefined || this.user.fits(amount)));
  }

  /** Takes what fits(), or returns it if negative. */
  charge(amount: number): void {
    this.used += amount;
    this.user?.charge(amount);
  }

  /** fits() for another user: they may take at most half of what is left, counting what they hold already. */
  fitsForeign(amount: number, uid: number): boolean {
    if (amount === 0) return true;
    const held = this.foreign?.get(uid) ?? 0;
    if (held + amount > (this.max - this.used + held) / 2) return false;
    return this.user === undefined || this.user.fitsForeign(amount, uid);
  }

  chargeForeign(amount: number, uid: number): void {
    if (amount === 0) return;
    this.used += amount;
    this.foreign ??= new Map();
    const held = (this.foreign.get(uid) ?? 0) + amount;
    if (held === 0) this.foreign.delete(uid);
    else this.foreign.set(uid, held);
    this.user?.chargeForeign(amount, uid);
  }
}

/** All resources of a peer or a user. */
export class Quotas {
  readonly slices: Quota;
  readonly handles: Quota;
  readonly inflightBytes: Quota;
  readonly inflightFds: Quota;

  constructor(limits: Limits, user?: Quotas) {
    this.slices = new Quota(limits.slices, user?.slices);
    this.handles = new Quota(limits.handles, user?.handles);
    this.inflightBytes = new Quota(limits.inflightBytes, user?.inflightBytes);
    this.inflightFds = new Quota(limits.inflightFds, user?.inflightFds);
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
    this.quotas = new Quotas(limits);
  }
}
