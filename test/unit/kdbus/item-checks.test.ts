import { describe, expect, test } from 'vitest';
import { Bytes } from '../../../src/base/bytes.js';
import { Errno } from '../../../src/base/errno.js';
import { checkItem } from '../../../src/kdbus/item-checks.js';
import { ItemType, Memfd, Vec } from '../../../src/kdbus/kdbus-abi.js';

const bytes = (size: number, fill: (payload: Bytes) => void = () => {}): Bytes => {
  const payload = new Bytes(new ArrayBuffer(size));
  fill(payload);
  return payload;
};
const text = (value: string): Bytes => bytes(Buffer.byteLength(value), ({ u8 }) => u8.set(Buffer.from(value)));

describe('checkItem', () => {
  test.each([
    ['a\0', Errno.OK],
    ['0-a.b_c-1\0', Errno.OK],
    [`${'x'.repeat(63)}\0`, Errno.OK],
    [`${'x'.repeat(64)}\0`, Errno.ENAMETOOLONG],
    ['\0', Errno.EINVAL],
    ['a', Errno.EINVAL],
    ['ab', Errno.EINVAL],
    ['a\0\0', Errno.EINVAL],
    ['a\0b\0', Errno.EINVAL],
    ['-a\0', Errno.EINVAL],
    ['a-\0', Errno.EINVAL],
    ['.a\0', Errno.EINVAL],
    ['a.\0', Errno.EINVAL],
    ['a@b\0', Errno.EINVAL],
    ['ä\0', Errno.EINVAL],
  ])('the name of a bus %j', (name, error) => {
    expect(checkItem(ItemType.MAKE_NAME, text(name))).toBe(error);
    expect(checkItem(ItemType.CONN_DESCRIPTION, text(name))).toBe(error);
  });

  test.each([
    ['a.b\0', Errno.OK],
    ['\0', Errno.OK],
    ['', Errno.EINVAL],
    ['a', Errno.EINVAL],
    ['a\0\0', Errno.EINVAL],
  ])('a string %j', (value, error) => {
    for (const type of [ItemType.NAME, ItemType.DST_NAME, ItemType.SECLABEL]) {
      expect(checkItem(type, text(value))).toBe(error);
    }
  });

  test('payload has a size', () => {
    const vec = (size: number) => bytes(Vec.sizeof, (payload) => payload.setU64(Vec.size, size));
    expect([0, 1].map((size) => checkItem(ItemType.PAYLOAD_VEC, vec(size)))).toEqual([Errno.EINVAL, Errno.OK]);
    expect(checkItem(ItemType.PAYLOAD_VEC, bytes(24))).toBe(Errno.EINVAL);
  });

  test('a memfd without a size is EINVAL before a bad descriptor is EBADF', () => {
    const memfd = (size: number, fd: number) =>
      bytes(Memfd.sizeof, (payload) => {
        payload.setU64(Memfd.size, size);
        payload.setI32(Memfd.fd, fd);
      });
    const errors = [memfd(0, -1), memfd(1, -1), memfd(1, 0)].map((item) => checkItem(ItemType.PAYLOAD_MEMFD, item));
    expect(errors).toEqual([Errno.EINVAL, Errno.EBADF, Errno.OK]);
  });

  test.each([
    [ItemType.NEGOTIATE, [0, 8, 80], [4, 12]],
    [ItemType.FDS, [0, 4, 64], [1, 6]],
    [ItemType.CANCEL_FD, [4], [0, 8]],
    [ItemType.BLOOM_PARAMETER, [16], [8, 24]],
    [ItemType.BLOOM_FILTER, [8, 9, 72], [0, 7]],
    [ItemType.BLOOM_MASK, [0, 1, 64], []],
    [ItemType.ATTACH_FLAGS_SEND, [8], [0, 4, 16]],
    [ItemType.ID, [8], [4, 16]],
    [ItemType.DST_ID, [8], [4, 16]],
    [ItemType.CREDS, [64], [56, 72]],
    [ItemType.PIDS, [24], [16, 32]],
    [ItemType.POLICY_ACCESS, [24], [16, 32]],
    [ItemType.ID_ADD, [16], [8, 24]],
    [ItemType.NAME_ADD, [32, 33], [24, 31]],
  ])('item 0x%x has one of the sizes %j, and none of %j', (type, right, wrong) => {
    expect(right.map((size) => checkItem(type, bytes(size)))).toEqual(right.map(() => Errno.OK));
    expect(wrong.map((size) => checkItem(type, bytes(size)))).toEqual(wrong.map(() => Errno.EINVAL));
  });
});
