import type { Logger } from 'pino';
import type { Obstacle, Refusal, Resource } from './quota.js';

/** What raises the limits of each user, and what there is for all of them. */
const CURES: Readonly<Record<Resource, { readonly user: string; readonly total: string }>> = {
  slices: { user: '--max-slices', total: 'more memory' },
  handles: { user: '--max-handles', total: 'more memory' },
  inflightBytes: { user: '--max-inflight-bytes', total: 'more memory' },
  inflightFds: { user: '--max-inflight-fds', total: 'ulimit -n' },
  peers: { user: '--max-peers', total: 'the sysctl vm.max_map_count, or more memory' },
  heldBytes: { user: '--max-held-bytes', total: '--max-total-held-bytes' },
  descriptors: { user: 'ulimit -n', total: 'ulimit -n (LimitNOFILE= of a systemd unit)' },
};
const WINDOW_MS = 10_000;
const LINES_PER_WINDOW = 10;

/** Tells the administrator of exceeded quotas: once per holder and resource, and only so often for all of them together. */
export class QuotaLog {
  private readonly log: Logger;
  private readonly reported = new WeakMap<object, Set<Resource>>();
  private windowStart = 0;
  private lines = 0;
  private suppressed = 0;

  constructor(log: Logger) {
    this.log = log;
  }

  /** `asker` and `holder` name for humans who asked and whose quota it is. */
  report(refusal: Refusal, asker: () => string, holder: () => string): void {
    const { resource, amount, obstacle } = refusal;
    const reported = this.reported.get(refusal.holder) ?? new Set();
    if (reported.has(resource)) return;
    this.reported.set(refusal.holder, reported.add(resource));
    if (!this.mayWrite()) return;
    const { used, max, bound } = obstacle;
    this.log.warn(
      { resource, bound, used, max, amount, suppressed: this.suppressed },
      `quota exceeded: ${asker()} asked for ${amount} more ${resource} of ${holder()}, ${reason(resource, obstacle)}`,
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

/** What is in the way, and the way out. */
function reason(resource: Resource, { bound, used, max }: Obstacle): string {
  const { user, total } = CURES[resource];
  if (bound === 'total') {
    return `but all users have ${used} of ${max} in use, and one may have half of what the others leave; raise it with ${total}`;
  }
  return `whose ${bound} has ${used} of ${max} in use; raise it with ${bound === 'peer' ? 'PEER_RESET or ' : ''}${user}`;
}
