import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Bytes } from '../../../src/base/bytes.js';
import { readHandleId, writeHandleId } from '../../../src/bus1/bus1-abi.js';

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

describe('Bytes', () => {
  test('u64 is exact below 2^53 and large above', () => {
    fc.assert(
      fc.property(u64, (value) => {
        const bytes = new Bytes(new ArrayBuffer(8));
        bytes.setBigU64(0, value);
        expect(bytes.u64(0)).toBe(Number(value));
        expect(bytes.isAllOnes64(0)).toBe(value === 2n ** 64n - 1n);
      }),
    );
  });

  test('setU64 stores what u64 reads', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        const bytes = new Bytes(new ArrayBuffer(16), 8);
        bytes.setU64(0, value);
        expect(bytes.bigU64(0)).toBe(BigInt(value));
      }),
    );
  });
});

describe('handle ids', () => {
  test('every u64 survives reading and writing, and equal ones are equal Map keys', () => {
    fc.assert(
      fc.property(u64, (value) => {
        const bytes = new Bytes(new ArrayBuffer(16));
        bytes.setBigU64(0, value);
        const id = readHandleId(bytes, 0);
        writeHandleId(bytes, 8, id);
        expect(bytes.bigU64(8)).toBe(value);
        expect(new Set([id, readHandleId(bytes, 8)]).size).toBe(1);
      }),
    );
  });
});
