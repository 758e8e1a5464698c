import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { IdTable } from '../../../src/base/id-table.js';

test('a IdTable is a Map of integers', () => {
  const key = fc.oneof(
    fc.nat({ max: 40 }),
    fc.nat({ max: 40 }).map((n) => n * 8),
    fc.maxSafeNat(),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
    fc.nat({ max: 9 }).map((n) => 2n ** 60n + BigInt(n)),
  );
  const step = fc.record({ key, isSet: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const table = new IdTable<number>();
      const map = new Map<number | bigint, number>();
      for (const [i, { key, isSet }] of steps.entries()) {
        if (isSet) {
          table.set(key, i);
          map.set(key, i);
        } else {
          table.delete(key);
          map.delete(key);
        }
        expect(table.get(key)).toBe(map.get(key));
        expect([...table.values()]).toHaveLength(map.size);
      }
      for (const [each, value] of map) expect(table.get(each)).toBe(value);
      expect([...table.values()].sort()).toEqual([...map.values()].sort());
    }),
  );
});

/** How many places in a row are taken, at most: what a search goes through if it has to. */
function longestRun(keys: Iterable<bigint>): number {
  const table = new IdTable<boolean>();
  for (const key of keys) table.set(key < 2n ** 53n ? Number(key) : key, true);
  let longest = 0;
  let run = 0;
  for (const place of Reflect.get(table, 'places') as Int32Array) {
    run = place === 0 ? 0 : run + 1;
    longest = Math.max(longest, run);
  }
  return longest;
}

describe('keys that somebody has chosen are spread all the same', () => {
  const BITS = 16;
  const COUNT = 2 ** BITS;
  /** Runs of random keys are a third of this, and those of keys that meet can be as long as there are keys. */
  const LONG = 200;
  const numbers = Array.from({ length: COUNT }, (_, i) => BigInt(i));

  test.each(Array.from({ length: 13 }, (_, i) => 4 * i))('multiples of 2^%i', (bit) => {
    expect(longestRun(numbers.map((n) => n << BigInt(bit)))).toBeLessThan(LONG);
  });

  test('the same lower half, the same upper half, both halves alike, and their difference', () => {
    for (const keyOf of [
      (n: bigint) => (n << 32n) | 0x1234_5678n,
      (n: bigint) => (0x1234_5678n << 32n) | n,
      (n: bigint) => (n << 32n) | n,
      (n: bigint) => (n << 32n) | (0xffff_ffffn - n),
      (n: bigint) => (n << 48n) | (n << 16n),
    ]) {
      expect(longestRun(numbers.map(keyOf))).toBeLessThan(LONG);
    }
  });

  const allOf = (places: readonly number[], base = 0n): bigint[] =>
    numbers.map((n) => places.reduce((key, place, i) => key ^ (((n >> BigInt(i)) & 1n) << BigInt(place)), base));
  const range = (start: number, end: number): number[] => Array.from({ length: end - start }, (_, i) => start + i);

  test('all combinations of the highest bits of both halves', () => {
    for (const upper of [2, 4, 8, 12, 14]) {
      expect(longestRun(allOf([...range(64 - upper, 64), ...range(32 - BITS + upper, 32)]))).toBeLessThan(LONG);
    }
  });

  test('all combinations of any bits', () => {
    const bits = fc.uniqueArray(fc.nat({ max: 63 }), { minLength: BITS, maxLength: BITS });
    fc.assert(
      fc.property(bits, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (places, base) => {
        expect(longestRun(allOf(places, base))).toBeLessThan(LONG);
      }),
      { numRuns: 4 },
    );
  });

  test('multiples of any number', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 1n, max: 2n ** 51n }), (factor) => {
        expect(longestRun(new Set(numbers.map((n) => BigInt.asUintN(64, n * factor))))).toBeLessThan(LONG);
      }),
      { numRuns: 4 },
    );
  });
});
