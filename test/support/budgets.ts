import { Accounts, Budget } from '../../src/base/budget.js';
import { type Budgets, DEFAULT_LIMITS, type UserLimits } from '../../src/bus/quota.js';

const AMPLE = 2 ** 40;

/** The limits of users that nothing but the default quotas bound. */
export const LIMITS: UserLimits = { ...DEFAULT_LIMITS, peers: AMPLE, heldBytes: AMPLE };

/** What all users have together: more than enough, unless said. */
export const budgets = (of: Partial<Record<keyof Budgets, number>> = {}): Budgets => ({
  peers: new Budget(of.peers ?? AMPLE),
  slices: new Budget(of.slices ?? AMPLE),
  handles: new Budget(of.handles ?? AMPLE),
  heldBytes: new Budget(of.heldBytes ?? AMPLE),
  warmBytes: new Budget(of.warmBytes ?? AMPLE),
});

export const accounts = (max = AMPLE): Accounts => new Accounts(new Budget(max));
