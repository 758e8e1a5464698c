/** How much of the daemon's memory the matches of one user may take, in bytes. */
const MAX_MATCH_BYTES = 64 * 1024 * 1024;

/** Whom connections and what they queue are charged to: a user of a domain, all connections of a custom endpoint, or the kernel. */
export class KdbusUser {
  /** Undefined if it is none of a domain's users. */
  readonly uid: number | undefined;
  connections = 0;
  buses = 0;
  private matchBytes = 0;

  constructor(uid?: number) {
    this.uid = uid;
  }

  /** Of what its matches take. */
  readonly matchQuota = {
    fits: (amount: number): boolean => this.matchBytes + amount <= MAX_MATCH_BYTES,
    charge: (amount: number): void => {
      this.matchBytes += amount;
    },
  };
}

/** Who sends notifications. */
export const KERNEL = new KdbusUser();

/** The users of a domain, as long as they have anything there. */
export class KdbusUsers {
  private readonly byUid = new Map<number, KdbusUser>();

  get(uid: number): KdbusUser {
    let user = this.byUid.get(uid);
    if (user === undefined) {
      user = new KdbusUser(uid);
      this.byUid.set(uid, user);
    }
    return user;
  }

  /** Forgets a user that has nothing any more. */
  forget(user: KdbusUser): void {
    if (user.uid !== undefined && user.connections + user.buses === 0) this.byUid.delete(user.uid);
  }
}
