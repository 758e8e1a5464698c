import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Heap } from '../../../src/base/heap.js';

test('a Heap has the least of what was added and not removed', () => {
  const step = fc.record({ key: fc.integer({ min: 0, max: 50 }), removes: fc.boolean(), which: fc.nat() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const heap = new Heap<{ readonly key: number; heapIndex: number }>((a, b) => a.key < b.key);
      const entries: { readonly key: number; heapIndex: number }[] = [];
      for (const { key, removes, which } of steps) {
        const entry = removes && entries.length > 0 ? entries.splice(which % entries.length, 1)[0] : undefined;
        if (entry === undefined) {
          const added = { key, heapIndex: -1 };
          heap.add(added);
          entries.push(added);
        } else {
          heap.remove(entry);
          expect(entry.heapIndex).toBe(-1);
          heap.remove(entry); // once is enough
        }
        const least = entries.reduce((least, { key }) => Math.min(least, key), Number.POSITIVE_INFINITY);
        expect(heap.least?.key ?? Number.POSITIVE_INFINITY).toBe(least);
      }
    }),
  );
});

test('a Heap gives what it holds in its order', () => {
  fc.assert(
    fc.property(fc.array(fc.integer()), (keys) => {
      const heap = new Heap<{ readonly key: number; heapIndex: number }>((a, b) => a.key < b.key);
      for (const key of keys) heap.add({ key, heapIndex: -1 });
      const given: number[] = [];
      for (let least = heap.least; least !== undefined; least = heap.least) {
        given.push(least.key);
        heap.remove(least);
      }
      expect(given).toEqual([...keys].sort((a, b) => a - b));
    }),
  );
});
