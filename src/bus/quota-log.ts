import type { Logger } from 'pino';
import type { QuotaHolder, Refusal, Resource } from './quota.js';

const OPTIONS: Readonly<Record<Resource, string>> = {
  slices: '--max-slices',
  handles: '--max-handles',
  inflightBytes: '--max-inflight-bytes',
  inflightFds: '--max-inflight-fds',
};
const WINDOW_MS = 10_000;
const LINES_PER_WINDOW = 10;

/** Tells the administrator of exceeded quotas: once per holder and resource, and only so often for all of them together. */
export class QuotaLog<Holder extends QuotaHolder> {
  private readonly log: Logger;
  private readonly reported = new WeakMap<Holder, Set<Resource>>();
  private windowStart = 0;
  private lines = 0;
  private suppressed = 0;

  constructor(log: Logger) {
    this.log = log;
  }

  /** `describe` names a holder for humans. */
  report(refusal: Refusal<Holder>, describe: (holder: Holder) => string): void {
    const { holder, resource, amount, asker } = refusal;
    const reported = this.reported.get(holder) ?? new Set();
    if (reported.has(resource)) return;
    this.reported.set(holder, reported.add(resource));
    if (!this.mayWrite()) return;
    const { used, max, bound } = exceeded(refusal);
    const cure = bound === 'peer' ? 'PEER_RESET or ' : '';
    this.log.warn(
      { resource, bound, used, max, amount, suppressed: this.suppressed },
      `quota exceeded: ${describe(asker)} asked for ${amount} more ${resource} of ${describe(holder)}, ` +
        `whose ${bound} has ${used} of ${max} in use; raise it with ${cure}${OPTIONS[resource]}`,
    );
    this.suppressed = 0;
  }

  private mayWrite(): boolean {
    const now = performance.now();
    if (now - this.windowStart > WINDOW_MS) {
      this.windowStart = now;
      this.lines = 0;
    }
    if (this.lines < LINES_PER_WINDOW) {
      this.lines++;
      return true;
    }
    this.suppressed++;
    return false;
  }
}

/** Which bound it was: the peer's own limit, its user's, or the share that another user may take. */
function exceeded({ holder, resource, amount }: Refusal): {
  used: number;
  max: number;
  bound: 'peer' | 'user' | 'share';
} {
  const own = holder.quotas[resource];
  const user = holder.user.quotas[resource];
  if (user.used + amount > user.max) return { used: user.used, max: user.max, bound: 'user' };
  return { used: own.used, max: own.max, bound: own.used + amount > own.max ? 'peer' : 'share' };
}
