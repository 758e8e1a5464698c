import { pino } from 'pino';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Errno } from '../../../src/base/errno.js';
import { ClientMemory } from '../../../src/caller/client-memory.js';
import { Hands } from '../../../src/caller/hands.js';
import { createEventfd } from '../../../src/linux/eventfd.js';
import { close } from '../../../src/linux/file.js';
import { NativeBuffer } from '../../../src/linux/native-buffer.js';
import { stopTicking } from '../../../src/linux/ticker.js';
import { accounts } from '../../support/budgets.js';

const UID = 1000;
const BAD_ADDRESS = 0x1000;
/** Whose memory it is: this thread's. */
const TID = process.pid;

const doneFd = createEventfd();
const hands = new Hands({
  doneFd,
  bytes: accounts(),
  maxPerUser: 8,
  trusted: new Set(),
  log: pino({ level: 'silent' }),
});

afterAll(() => {
  stopTicking();
  close(doneFd);
});

const buffers: NativeBuffer[] = [];
/** Puts bytes somewhere into memory. */
function put(bytes: Uint8Array): { readonly address: number; readonly length: number } {
  const buffer = new NativeBuffer(Math.max(1, bytes.length));
  buffer.u8.set(bytes);
  buffers.push(buffer); // else its memory would be used again
  return { address: buffer.address, length: bytes.length };
}
const text = (value: string) => put(Buffer.from(value));

afterEach(() => {
  buffers.length = 0;
});

describe.each([
  ['directly', () => new ClientMemory(undefined)],
  ['by a hand', () => hands.acquire(UID)],
] as const)('ClientMemory, %s', (_, make) => {
  let memory: ClientMemory;

  beforeEach(() => {
    memory = make();
    memory.reset();
  });

  afterEach(() => {
    hands.release(memory);
  });

  const read = (ranges: readonly { readonly address: number; readonly length: number }[], offset = 0): string => {
    memory.scratch(1024).u8.fill(0x2e);
    const length = memory.read(TID, offset, ranges, 0);
    return memory.scratch(0).text(offset, offset + length);
  };
  /** Copies what vectors lead to, to so many targets, after reading the vectors as a command does. */
  function gather(
    vectors: readonly { readonly address: number; readonly length: number }[],
    count: number,
  ): string[] | Errno {
    const array = new NativeBuffer(Math.max(1, vectors.length * 16));
    for (const [i, { address, length }] of vectors.entries()) array.setIovec(i * 16, address, length);
    const total = vectors.reduce((sum, { length }) => sum + length, 0);
    const targets = Array.from({ length: count }, () => put(new Uint8Array(total + 1).fill(0x2e)));
    memory.scratch(vectors.length * 16);
    const range = { address: array.address, length: vectors.length * 16 };
    expect(memory.read(TID, 0, [range, { address: 0, length: 0 }], vectors.length)).toBe(range.length);
    const error = memory.gather(
      TID,
      total,
      vectors.length,
      targets.map(({ address }) => address),
    );
    const results = buffers.slice(buffers.length - count).map((buffer) => {
      expect(buffer.text(total, total + 1)).toBe('.');
      return buffer.text(0, total);
    });
    return error === Errno.OK ? results : error;
  }

  test('read() puts ranges one after the other', () => {
    expect(read([text('hello')])).toBe('hello');
    expect(read([text('a'), text('bc'), text(''), text('def')])).toBe('abcdef');
    expect(read([text('later')], 100)).toBe('later');
    expect(memory.scratch(0).text(98, 100)).toBe('..');
    expect(read([])).toBe('');
  });

  test('read() stops at the first byte that cannot be read', () => {
    expect(read([{ address: BAD_ADDRESS, length: 5 }])).toBe('');
    expect(read([text('ab'), { address: BAD_ADDRESS, length: 5 }])).toBe('ab');
    expect(read([text('ab'), { address: BAD_ADDRESS, length: 5 }, text('cd')])).toBe('ab');
  });

  test('scratch() is as large as it was asked for', () => {
    for (const size of [0, 1, 64 * 1024, 64 * 1024 + 1, 1_000_000]) {
      expect(memory.scratch(size).size).toBeGreaterThanOrEqual(size);
    }
  });

  test('write() writes, or says that it could not', () => {
    const target = new NativeBuffer(10_000);
    const source = new NativeBuffer(10_000);
    source.u8.set(Buffer.from('hello'));
    expect(memory.write(TID, target.address + 1, source, 5)).toBe(Errno.OK);
    expect(target.text(0, 7)).toBe('\0hello\0');
    expect(memory.write(TID, BAD_ADDRESS, source, 5)).toBe(Errno.EFAULT);
    expect(memory.write(TID, BAD_ADDRESS, source, 0)).toBe(Errno.OK);
    source.u8.fill(0x79);
    expect(memory.write(TID, target.address, source, 10_000)).toBe(Errno.OK);
    expect(target.u8.every((byte) => byte === 0x79)).toBe(true);
  });

  test('gather() copies what vectors lead to, to each target', () => {
    expect(gather([text('ab'), text('cde')], 1)).toEqual(['abcde']);
    memory.reset();
    expect(gather([text('ab'), text(''), text('cde')], 3)).toEqual(Array(3).fill('abcde'));
  });

  test('gather() of nothing, or to nobody, reads nothing', () => {
    expect(gather([{ address: BAD_ADDRESS, length: 0 }], 2)).toEqual(['', '']);
    memory.reset();
    expect(gather([{ address: BAD_ADDRESS, length: 5 }], 0)).toEqual([]);
  });

  test('gather() of what cannot be read is EFAULT', () => {
    for (const count of [1, 3]) {
      memory.reset();
      expect(gather([text('ab'), { address: BAD_ADDRESS, length: 5 }], count)).toBe(Errno.EFAULT);
    }
  });

  test('gather() takes more targets and vectors than one call of the system', () => {
    const vectors = Array.from({ length: 1024 }, (_, i) => text(String.fromCharCode(97 + (i % 26))));
    const whole = Array.from({ length: 1024 }, (_, i) => String.fromCharCode(97 + (i % 26))).join('');
    expect(gather(vectors, 3)).toEqual(Array(3).fill(whole));
    memory.reset();
    expect(gather([text('x'), text('y')], 2500)).toEqual(Array(2500).fill('xy'));
    memory.reset();
    expect(gather(vectors.slice(0, 700), 5)).toEqual(Array(5).fill(whole.slice(0, 700)));
  });

  test.each([65_535, 65_536, 65_537, 300_000])('gather() takes a payload of %i bytes', (size) => {
    const payload = Buffer.alloc(size, 'x');
    payload.write('first', 0);
    payload.write('last', size - 4);
    expect(gather([put(payload.subarray(0, 10)), put(payload.subarray(10))], 2)).toEqual(
      Array(2).fill(payload.toString()),
    );
  });
});
