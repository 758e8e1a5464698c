import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FreeRanges } from '../../../src/bus/free-ranges.js';
import { Slice } from '../../../src/bus/slice.js';

describe('FreeRanges', () => {
  test('bestFit is a smallest range that is large enough, whatever was added and removed', () => {
    const size = fc.integer({ min: 1, max: 50 }).map((n) => 2 * n);
    const fit = fc.integer({ min: 1, max: 101 });
    const step = fc.oneof(fc.record({ add: size }), fc.record({ remove: fc.nat() }), fc.record({ fit }));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const ranges = new FreeRanges();
        const free: Slice[] = [];
        const removed: Slice[] = [];
        for (const action of steps) {
          if ('add' in action) {
            const range = removed.pop() ?? new Slice(0, action.add);
            range.size = action.add;
            ranges.add(range);
            free.push(range);
          } else if ('remove' in action) {
            const [range] = free.splice(action.remove % Math.max(1, free.length), 1);
            if (range !== undefined) {
              ranges.remove(range);
              removed.push(range);
            }
          } else {
            const sizes = free.map((range) => range.size).filter((each) => each >= action.fit);
            const found = ranges.bestFit(action.fit);
            if (sizes.length === 0) expect(found).toBeUndefined();
            else expect(found?.size).toBe(Math.min(...sizes));
            if (found !== undefined) expect(free).toContain(found);
          }
        }
        while (free.length > 0) {
          const found = ranges.bestFit(1);
          expect(found?.size).toBe(Math.min(...free.map((range) => range.size)));
          free.splice(free.indexOf(found as Slice), 1);
          ranges.remove(found as Slice);
        }
        expect(ranges.bestFit(1)).toBeUndefined();
      }),
    );
  });

  test.each([
    ['rising', (i: number) => i],
    ['falling', (i: number) => 100_000 - i],
  ])('sizes that come in %s order do not make a deep tree', (_, sizeOf) => {
    const ranges = new FreeRanges();
    const added = Array.from({ length: 100_000 }, (_, i) => new Slice(0, sizeOf(i) + 1));
    for (const range of added) ranges.add(range);
    for (const range of added) ranges.remove(range);
    expect(ranges.bestFit(1)).toBeUndefined();
  });
});
