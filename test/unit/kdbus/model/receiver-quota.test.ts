import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Errno } from '../../../../src/base/errno.js';
import { KdbusUser } from '../../../../src/kdbus/model/kdbus-user.js';
import { ReceiverQuota } from '../../../../src/kdbus/model/receiver-quota.js';

const POOL_SIZE = 16 * 1024 * 1024;

/** The most bytes of which a user may queue one message more. */
function most(quota: ReceiverQuota, user: KdbusUser): number {
  let [low, high] = [0, POOL_SIZE];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (quota.check(user, middle, 0) === Errno.OK) low = middle;
    else high = middle - 1;
  }
  return low;
}

describe('ReceiverQuota', () => {
  test('each user gets a third of what the others have left of half the pool', () => {
    const quota = new ReceiverQuota(POOL_SIZE);
    const shares = [1, 2, 3, 4].map((uid) => {
      const user = new KdbusUser(uid);
      const share = most(quota, user);
      quota.charge(user, share, 0);
      expect(quota.check(user, 8, 0)).toBe(Errno.ENOBUFS);
      return share;
    });
    expect(shares).toEqual([2796202, 1864135, 1242757, 828504]);
  });

  test('a pool of one page takes messages of at most 682 bytes', () => {
    expect(most(new ReceiverQuota(4096), new KdbusUser(1))).toBe(682);
  });

  test('256 messages and 16 descriptors of a user fit, and no more', () => {
    const quota = new ReceiverQuota(POOL_SIZE);
    const [user, other] = [new KdbusUser(1), new KdbusUser(2)];
    for (let i = 0; i < 256; i++) {
      expect(quota.check(user, 64, 0)).toBe(Errno.OK);
      quota.charge(user, 64, 0);
    }
    expect(quota.check(user, 64, 0)).toBe(Errno.ENOBUFS);
    expect(quota.check(other, 64, 16)).toBe(Errno.OK);
    quota.charge(other, 64, 16);
    expect([quota.check(other, 64, 1), quota.check(other, 64, 0)]).toEqual([Errno.EMFILE, Errno.OK]);
  });

  test('what is released leaves nothing behind', () => {
    const message = fc.record({ uid: fc.nat(3), size: fc.integer({ min: 1, max: 5000 }), fds: fc.nat(3) });
    fc.assert(
      fc.property(fc.array(message, { maxLength: 60 }), (messages) => {
        const quota = new ReceiverQuota(POOL_SIZE);
        const users = [0, 1, 2, 3].map((uid) => new KdbusUser(uid));
        const queued = messages.filter(({ uid, size, fds }) => {
          const fits = quota.check(users[uid] as KdbusUser, size, fds) === Errno.OK;
          if (fits) quota.charge(users[uid] as KdbusUser, size, fds);
          return fits;
        });
        for (const { uid, size, fds } of queued) quota.release(users[uid] as KdbusUser, size, fds);
        expect(users.map((user) => most(quota, user))).toEqual([2796202, 2796202, 2796202, 2796202]);
      }),
    );
  });
});
