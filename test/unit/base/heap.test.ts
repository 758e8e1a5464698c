import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Heap } from '../../../src/base/heap.js';

test('a Heap has the least of what was added and not removed', () => {
  const step = fc.option(fc.integer({ min: 0, max: 50 }), { nil: undefined });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const heap = new Heap<{ readonly key: number }>((a, b) => a.key < b.key);
      const keys: number[] = [];
      for (const key of steps) {
        if (key === undefined) {
          heap.removeLeast();
          keys.shift();
        } else {
          heap.add({ key });
          keys.push(key);
          keys.sort((a, b) => a - b);
        }
        expect(heap.least?.key).toBe(keys[0]);
      }
    }),
  );
});

test('a Heap gives what it holds in its order', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(), { maxLength: 300 }), (keys) => {
      const heap = new Heap<number>((a, b) => a < b);
      for (const key of keys) heap.add(key);
      const drained: number[] = [];
      for (let next = heap.least; next !== undefined; next = heap.least) {
        drained.push(next);
        heap.removeLeast();
      }
      expect(drained).toEqual([...keys].sort((a, b) => a - b));
    }),
  );
});
