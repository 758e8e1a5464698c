import { fstatSync, ftruncateSync, readSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SharedMemory } from '../../../src/linux/memory.js';

const PAGE = 4096;

let memory: SharedMemory;

beforeEach(() => {
  const made = SharedMemory.create('test', 8 * PAGE);
  if (typeof made === 'number') throw new Error(`errno ${-made}`);
  memory = made;
});

afterEach(() => {
  memory.closeFd();
  memory.release();
});

/** What whoever has the descriptor reads. */
function read(offset: number, length: number): Buffer {
  const buffer = Buffer.alloc(length);
  expect(readSync(memory.fd, buffer, 0, length, offset)).toBe(length);
  return buffer;
}

describe('SharedMemory', () => {
  test('shows through its descriptor what is written', () => {
    expect(memory.write(PAGE - 2, Buffer.from('across'))).toBe(true);
    expect(read(PAGE - 2, 6).toString()).toBe('across');
    expect(read(0, 10)).toEqual(Buffer.alloc(10));
  });

  test('says when there is no page to write to, and does not die of it', () => {
    const larger = SharedMemory.map(memory.fd, 16 * PAGE); // as where the system has none to give
    if (typeof larger === 'number') throw new Error(`errno ${-larger}`);
    expect(larger.write(8 * PAGE - 3, Buffer.from('beyond'))).toBe(false);
    expect(larger.write(9 * PAGE, Buffer.from('x'))).toBe(false);
    expect(larger.write(8 * PAGE - 1, Buffer.from('x'))).toBe(true);
    larger.release();
  });

  test('keeps its size, whoever has the descriptor', () => {
    for (const size of [0, 8 * PAGE - 1, 9 * PAGE]) expect(() => ftruncateSync(memory.fd, size)).toThrow('EPERM');
    expect(fstatSync(memory.fd).size).toBe(8 * PAGE);
  });

  test('gives whole pages back, and no part of one', () => {
    memory.write(0, Buffer.alloc(8 * PAGE, 'x'));
    memory.discard(PAGE + 1, 4 * PAGE - 1);
    const pages = Array.from({ length: 8 }, (_, i) => read(i * PAGE, PAGE).every((byte) => byte === 0));
    expect(pages).toEqual([false, false, true, false, false, false, false, false]);
    memory.discard(5 * PAGE, 6 * PAGE);
    expect(read(5 * PAGE, PAGE)).toEqual(Buffer.alloc(PAGE));
    for (const [start, end] of [
      [PAGE, PAGE],
      [1, PAGE],
      [PAGE + 10, PAGE + 20],
      [PAGE, 2 * PAGE - 1],
    ] as const)
      memory.discard(start, end);
    expect(read(0, 2 * PAGE)).toEqual(Buffer.alloc(2 * PAGE, 'x'));
    expect(fstatSync(memory.fd).blocks).toBe((6 * PAGE) / 512);
  });

  test('takes no memory before it is written', () => {
    expect(fstatSync(memory.fd).blocks).toBe(0);
  });
});
