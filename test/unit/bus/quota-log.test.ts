import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Errno } from '../../../src/base/errno.js';
import { Pool } from '../../../src/bus/pool.js';
import type { Budgets, UserLimits } from '../../../src/bus/quota.js';
import { QuotaLog } from '../../../src/bus/quota-log.js';
import { Bus } from '../../../src/bus1/model/bus.js';
import type { Peer } from '../../../src/bus1/model/peer.js';
import { SendTransaction } from '../../../src/bus1/model/send.js';
import { budgets, LIMITS } from '../../support/budgets.js';

const MEMORY = { address: 0, write: () => true, discard: () => {}, retain: () => {}, release: () => {} };

interface Line {
  readonly level: number;
  readonly msg: string;
  readonly resource: string;
  readonly bound: string;
  readonly used: number;
  readonly max: number;
  readonly amount: number;
  readonly suppressed: number;
}

/** A bus whose refusals go to a quota log, whose lines are kept. */
class World {
  readonly lines: Line[] = [];
  private readonly bus: Bus;

  constructor(limits: Partial<UserLimits> = {}, ofAll: Partial<Record<keyof Budgets, number>> = {}) {
    const quotaLog = new QuotaLog(
      pino({}, { write: (line: string) => void this.lines.push(JSON.parse(line) as Line) }),
    );
    this.bus = new Bus({ ...LIMITS, ...limits }, budgets(ofAll));
    this.bus.onRefusal = (refusal) =>
      quotaLog.report(
        refusal,
        () => `peer ${refusal.asker.serial}`,
        () => `peer ${refusal.holder.serial}`,
      );
  }

  peer(uid = 0): Peer {
    return this.bus.addPeer(uid, new Pool(MEMORY), () => {});
  }
}

/** Asks for one more handle than `peer` may have, as it says itself. */
function overstep(peer: Peer): void {
  peer.quotas.handles.max = 0;
  peer.transferHandle(8, peer);
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
});

afterEach(() => {
  vi.useRealTimers();
});

describe('QuotaLog', () => {
  test('says who asked, for what, of whom, how much there is and how to have more', () => {
    const world = new World({ handles: 2 });
    const [a, b] = [world.peer(), world.peer()];
    b.transferHandle(8, b);
    a.transferHandle(8, b);
    expect(world.lines).toMatchObject([
      { level: 40, resource: 'handles', bound: 'user', used: 2, max: 2, amount: 1, suppressed: 0 },
    ]);
    expect(world.lines[0]?.msg).toBe(
      'quota exceeded: peer 1 asked for 1 more handles of peer 2, whose user has 2 of 2 in use; raise it with --max-handles',
    );
  });

  test("a peer's own limit can be raised by PEER_RESET too", () => {
    const world = new World();
    const [a, b] = [world.peer(), world.peer()];
    b.quotas.handles.max = 0;
    a.transferHandle(8, b);
    expect(world.lines[0]).toMatchObject({ bound: 'peer', used: 0, max: 0 });
    expect(world.lines[0]?.msg).toMatch(/peer 1 asked for .* of peer 2, .* raise it with PEER_RESET or --max-handles$/);
  });

  test('what all users have together is told with the way to have more', () => {
    const world = new World({}, { handles: 4 });
    const [a, b] = [world.peer(), world.peer()];
    b.transferHandle(8, b);
    a.transferHandle(8, b);
    expect(world.lines).toMatchObject([{ resource: 'handles', bound: 'total', used: 2, max: 4, amount: 1 }]);
    expect(world.lines[0]?.msg).toBe(
      'quota exceeded: peer 1 asked for 1 more handles of peer 2, but all users have 2 of 4 in use, and one may have half of ' +
        'what the others leave; raise it with more memory',
    );
  });

  test('held bytes have an option for each user and one for all', () => {
    for (const [world, bound, option] of [
      [new World({ heldBytes: 4096 }), 'user', /whose user has 0 of 4096 in use; raise it with --max-held-bytes$/],
      [new World({}, { heldBytes: 8192 }), 'total', /all users have 0 of 8192 .* --max-total-held-bytes$/],
    ] as const) {
      const peer = world.peer();
      const transaction = new SendTransaction(peer, 4097, { securityContext: () => undefined });
      transaction.attach(undefined);
      expect(transaction.address(8)).toBe(Errno.EDQUOT);
      transaction.abort();
      expect(world.lines).toMatchObject([{ resource: 'heldBytes', bound, amount: 8192 }]);
      expect(world.lines[0]?.msg).toMatch(option);
    }
  });

  test('another user is told that its share is meant', () => {
    const world = new World({ inflightBytes: 800 });
    const [stranger, owner] = [world.peer(1), world.peer(0)];
    const handle = owner.transferHandle(8, stranger);
    if (typeof handle !== 'object') throw new Error('no handle');
    const transaction = new SendTransaction(stranger, 408, { securityContext: () => undefined });
    transaction.attach(undefined);
    expect(transaction.address(handle.id)).toBe(Errno.EDQUOT);
    transaction.abort();
    expect(world.lines).toMatchObject([{ resource: 'inflightBytes', bound: 'share', used: 0, max: 800, amount: 408 }]);
  });

  test('tells once of each peer and resource', () => {
    const world = new World();
    const [a, b] = [world.peer(), world.peer()];
    for (let i = 0; i < 3; i++) for (const peer of [a, b]) overstep(peer);
    expect(world.lines).toHaveLength(2);
    a.refuse('slices', 1, b);
    expect(world.lines.map(({ resource }) => resource)).toEqual(['handles', 'handles', 'slices']);
  });

  test('writes ten lines in ten seconds at most, and then says how many it kept back', () => {
    const world = new World();
    for (let i = 0; i < 25; i++) overstep(world.peer());
    expect(world.lines).toHaveLength(10);
    vi.advanceTimersByTime(10_000);
    overstep(world.peer());
    expect(world.lines).toHaveLength(10);
    vi.advanceTimersByTime(1);
    for (let i = 0; i < 25; i++) overstep(world.peer());
    expect(world.lines).toHaveLength(20);
    expect(world.lines.slice(10).map(({ suppressed }) => suppressed)).toEqual([16, ...Array<number>(9).fill(0)]);
  });
});
