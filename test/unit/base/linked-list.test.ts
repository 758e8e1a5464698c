import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Linked, LinkedList } from '../../../src/base/linked-list.js';

class Item implements Linked<Item> {
  previous: Item | undefined;
  next: Item | undefined;
}

describe('LinkedList', () => {
  test('behaves as an array does', () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.nat(9))), (steps) => {
        const list = new LinkedList<Item>();
        const array: Item[] = [];
        for (const step of steps) {
          if (step === null) {
            const item = new Item();
            list.push(item);
            array.push(item);
          } else if (array.length > 0) {
            const [item] = array.splice(step % array.length, 1);
            list.remove(item as Item);
            expect(item).toEqual({ previous: undefined, next: undefined });
          }
          expect([...list].every((item, i) => item === array[i])).toBe(true);
          expect([list.length, list.first]).toEqual([array.length, array[0]]);
        }
      }),
    );
  });

  test('may lose what is looked at', () => {
    const list = new LinkedList<Item>();
    for (let i = 0; i < 3; i++) list.push(new Item());
    let seen = 0;
    for (const item of list) {
      list.remove(item);
      seen++;
    }
    expect([seen, list.length, list.first]).toEqual([3, 0, undefined]);
  });
});
