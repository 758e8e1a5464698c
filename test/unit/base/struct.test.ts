import { describe, expect, test } from 'vitest';
import { struct } from '../../../src/base/struct.js';

describe('struct', () => {
  test('aligns each field to its size and the whole to its widest field', () => {
    expect(struct({ a: 'u16', b: 'u64', c: 'i32', d: 'u16' })).toEqual({ a: 0, b: 8, c: 16, d: 20, sizeof: 24 });
  });

  test('starts where it is told', () => {
    expect(struct({ a: 'u32' }, 16)).toEqual({ a: 16, sizeof: 20 });
  });
});
