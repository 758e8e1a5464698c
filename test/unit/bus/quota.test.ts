import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Budget } from '../../../src/base/budget.js';
import { Quota } from '../../../src/bus/quota.js';

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

  test('a user has no more than its share of what all users have', () => {
    const budget = new Budget(100);
    const [a, b] = [1, 2].map((uid) => new Quota(80, uid, half, undefined, budget)) as [Quota, Quota];
    const peer = new Quota(80, 1, half, a);
    expect([peer.fits(50), peer.fits(51), a.left]).toEqual([true, false, 50]);
    peer.charge(50);
    expect([b.fits(25), b.fits(26), b.left, a.left, budget.used]).toEqual([true, false, 25, 0, 50]);
    peer.charge(-50);
    expect([b.left, budget.used, new Quota(20, 3, half, undefined, budget).left]).toEqual([50, 0, 20]);
  });

  test('says what is in the way', () => {
    const budget = new Budget(100);
    const user = new Quota(40, 0, half, undefined, budget);
    const peer = new Quota(30, 0, half, user);
    expect(peer.obstacle(41)).toEqual({ bound: 'user', used: 0, max: 40 });
    expect(peer.obstacle(31)).toEqual({ bound: 'peer', used: 0, max: 30 });
    expect(peer.obstacle(20)).toEqual({ bound: 'share', used: 0, max: 30 });
    budget.charge(50);
    expect(peer.obstacle(26)).toEqual({ bound: 'total', used: 50, max: 100 });
    expect(user.obstacle(41)).toEqual({ bound: 'user', used: 0, max: 40 });
    expect(user.obstacle(26)).toEqual({ bound: 'total', used: 50, max: 100 });
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
