/**
 * How much of something finite there is for all users together. None of them can use up what others need: each may have at most
 * half of what the others leave.
 */
export class Budget {
  readonly max: number;
  used = 0;

  constructor(max: number) {
    this.max = Math.max(0, Math.floor(max));
  }

  /** How much more a user may have that holds `held`. */
  left(held: number): number {
    return Math.max(0, Math.floor((this.max - this.used + held) / 2) - held);
  }

  fits(held: number, amount: number): boolean {
    return 2 * (held + amount) <= this.max - this.used + held;
  }

  /** Takes what fits, or returns it if negative. */
  charge(amount: number): void {
    this.used += amount;
  }
}

/** A budget, and what each user holds of it, by uid. */
export class Accounts {
  readonly budget: Budget;
  private readonly holdings = new Map<number, number>();

  constructor(budget: Budget) {
    this.budget = budget;
  }

  held(uid: number): number {
    return this.holdings.get(uid) ?? 0;
  }

  fits(uid: number, amount: number): boolean {
    return this.budget.fits(this.held(uid), amount);
  }

  charge(uid: number, amount: number): void {
    this.budget.charge(amount);
    const held = this.held(uid) + amount;
    if (held === 0) this.holdings.delete(uid);
    else this.holdings.set(uid, held);
  }
}
