import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DEFAULT_LIMITS, Quota } from '../../../src/bus/quota.js';

const half = (left: number): number => left / 2;

describe('Quota', () => {
  test('bounds a peer by its own limit and by its user', () => {
    const user = new Quota(10, 0, half);
    const [a, b] = [new Quota(8, 0, half, user), new Quota(8, 0, half, user)];
    expect([a.fits(8), a.fits(9)]).toEqual([true, false]);
    a.charge(8);
    expect([a.fits(1), b.fits(2), b.fits(3)]).toEqual([false, true, false]);
    a.charge(-8);
    expect([a.used, user.used]).toEqual([0, 0]);
  });

  test('nothing more always fits, even below what is used', () => {
    const quota = new Quota(5, 0, half);
    quota.charge(5);
    quota.max = 1;
    expect([quota.fits(0), quota.fits(1), quota.fitsFrom(7, 0)]).toEqual([true, false, true]);
  });

  test('another user takes at most half of what is left, counting what it holds', () => {
    const quota = new Quota(800, 0, half);
    expect([quota.fitsFrom(1, 400), quota.fitsFrom(1, 401)]).toEqual([true, false]);
    quota.chargeFrom(1, 300);
    expect([quota.fitsFrom(1, 100), quota.fitsFrom(1, 101)]).toEqual([true, false]);
    expect([quota.fitsFrom(2, 250), quota.fitsFrom(2, 251)]).toEqual([true, false]);
  });

  test('the share is of the user and of the peer, over all its peers', () => {
    const user = new Quota(800, 0, half);
    const peers = [new Quota(800, 0, half, user), new Quota(800, 0, half, user)] as const;
    peers[0].chargeFrom(1, 300);
    expect([peers[1].fitsFrom(1, 100), peers[1].fitsFrom(1, 101)]).toEqual([true, false]);
    expect([peers[1].fitsFrom(2, 250), peers[1].fitsFrom(2, 251)]).toEqual([true, false]);
    expect([peers[1].fitsFrom(0, 500), peers[1].fitsFrom(0, 501)]).toEqual([true, false]);
    peers[1].max = 100;
    expect([peers[1].fitsFrom(1, 50), peers[1].fitsFrom(1, 51)]).toEqual([true, false]);
    peers[0].chargeFrom(1, -300);
    expect([peers[0].fitsFrom(1, 400), peers[0].fitsFrom(1, 401)]).toEqual([true, false]);
  });

  test('whoever may take does not exceed the limit, and all of it comes back', () => {
    const step = fc.record({ uid: fc.integer({ min: 1, max: 4 }), amount: fc.integer({ min: 1, max: 300 }) });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const user = new Quota(1000, 0, half);
        const quota = new Quota(900, 0, half, user);
        const taken = steps.filter(({ uid, amount }) => {
          if (!quota.fitsFrom(uid, amount)) return false;
          quota.chargeFrom(uid, amount);
          return true;
        });
        expect(quota.used).toBeLessThanOrEqual(900);
        for (const { uid, amount } of taken) quota.chargeFrom(uid, -amount);
        expect([quota.used, user.used]).toEqual([0, 0]);
        expect(quota.fitsFrom(1, 450)).toBe(true);
      }),
    );
  });
});

test('the default limits are those of the contract', () => {
  expect(DEFAULT_LIMITS).toMatchObject({
    slices: 16384,
    handles: 65536,
    inflightBytes: 16 * 1024 * 1024,
    inflightFds: 4096,
  });
});
