import fc from 'fast-check';
import { expect, test } from 'vitest';
import { IdTable } from '../../../src/base/id-table.js';

test('an IdTable is a Map of integers', () => {
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
        if (table.get(key) !== map.get(key)) throw new Error(`${key} is ${table.get(key)}, not ${map.get(key)}`);
        for (const [each, value] of map) if (table.get(each) !== value) throw new Error(`${each} is lost`);
      }
      expect([...table.values()].sort()).toEqual([...map.values()].sort());
    }),
    { numRuns: 50 },
  );
});

test('an IdTable that was large is as good as new when it is empty, and can be large again', () => {
  const table = new IdTable<number>();
  const keys = Array.from({ length: 5000 }, (_, i) => i * 8);
  for (let round = 0; round < 3; round++) {
    for (const key of keys) table.set(key, key + round);
    for (const key of keys) if (table.get(key) !== key + round) throw new Error(`${key} is lost`);
    for (const [i, key] of keys.entries()) {
      table.delete(key);
      const next = keys[i + 1];
      if (table.get(key) !== undefined) throw new Error(`${key} is still there`);
      if (next !== undefined && table.get(next) !== next + round) throw new Error(`${next} is lost`);
    }
    expect([...table.values()]).toEqual([]);
  }
});
