import fc from 'fast-check';
import { expect, test } from 'vitest';
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
