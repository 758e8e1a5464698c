import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Accounts, Budget } from '../../../src/base/budget.js';

describe('Budget', () => {
  test('one may have half of what the others leave', () => {
    const budget = new Budget(100);
    expect([budget.left(0), budget.fits(0, 50), budget.fits(0, 51)]).toEqual([50, true, false]);
    budget.charge(30);
    // whoever has the 30, and somebody else
    expect([budget.left(30), budget.fits(30, 20), budget.fits(30, 21)]).toEqual([20, true, false]);
    expect([budget.left(0), budget.fits(0, 35), budget.fits(0, 36)]).toEqual([35, true, false]);
  });

  test('is a whole number, and none that is negative', () => {
    expect([new Budget(10.9).max, new Budget(-5).max, new Budget(0).fits(0, 1)]).toEqual([10, 0, false]);
  });

  test('that is exceeded has room for nobody', () => {
    const budget = new Budget(10);
    budget.charge(30);
    expect([budget.left(30), budget.fits(30, 1), budget.left(0), budget.fits(0, 1)]).toEqual([0, false, 0, false]);
  });
});

describe('Accounts', () => {
  const step = fc.record({ uid: fc.nat({ max: 5 }), amount: fc.integer({ min: 1, max: 400 }), gives: fc.boolean() });

  test('never exceed the budget, leave something for whoever comes, and get all of it back', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const accounts = new Accounts(new Budget(1000));
        const { budget } = accounts;
        for (const { uid, amount, gives } of steps) {
          const held = accounts.held(uid);
          if (gives) accounts.charge(uid, -Math.min(held, amount));
          else if (accounts.fits(uid, amount)) {
            accounts.charge(uid, amount);
            // as much is left as it has, at least
            expect(accounts.held(uid)).toBeLessThanOrEqual(budget.max - budget.used);
            expect(accounts.held(uid)).toBeLessThanOrEqual(500);
          }
          expect(budget.used).toBeLessThanOrEqual(budget.max);
          const rest = budget.max - budget.used;
          expect(accounts.fits(99, Math.floor(rest / 2))).toBe(true);
          expect(accounts.fits(99, Math.floor(rest / 2) + 1)).toBe(false);
        }
        for (const uid of [0, 1, 2, 3, 4, 5]) accounts.charge(uid, -accounts.held(uid));
        expect([budget.used, accounts.held(1), accounts.fits(1, 500)]).toEqual([0, 0, true]);
      }),
    );
  });
});
