import { describe, expect, test } from 'vitest';
import { FIRST_SLOT, SLOTS, slotOf } from '../../../src/caller/closer-ring.js';

describe('slotOf', () => {
  test('goes round within the slots, also where a 32-bit counter wraps', () => {
    const last = 2 ** 31 - 1;
    const slots = [last - 1, last, (last + 1) | 0, (last + 2) | 0].map(slotOf);
    expect(slots).toEqual([FIRST_SLOT + SLOTS - 2, FIRST_SLOT + SLOTS - 1, FIRST_SLOT, FIRST_SLOT + 1]);
  });
});
