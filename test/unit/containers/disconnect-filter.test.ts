import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NULL_DISCONNECT_FILTER } from '../../../src/containers/disconnect-filter.js';

const [ALLOW, NOTIFY] = [0x7fff_0000, 0x7fc0_0000];
const [X86_64, I386, AARCH64] = [0xc000_003e, 0x4000_0003, 0xc000_00b7];
const DISCONNECT = 0xc008_9600;
const X32_BIT = 0x4000_0000;

/** A system call as a filter sees it: struct seccomp_data of linux/seccomp.h. */
interface Call {
  readonly nr: number;
  readonly arch: number;
  readonly pointer: bigint;
  readonly args: readonly bigint[];
}

function encode({ nr, arch, pointer, args }: Call): DataView {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, nr >>> 0, true);
  data.setUint32(4, arch, true);
  data.setBigUint64(8, pointer, true);
  for (const [i, arg] of args.entries()) data.setBigUint64(16 + i * 8, arg, true);
  return data;
}

/** Runs the filter as the kernel does, on as much of classic BPF as it uses. Also tells which bytes it looked at. */
function run(call: Call): { readonly action: number; readonly loads: readonly number[] } {
  const data = encode(call);
  const loads: number[] = [];
  let accumulator = 0;
  for (let at = 0; ; at++) {
    const instruction = NULL_DISCONNECT_FILTER[at];
    if (instruction === undefined) throw new Error('ran off the end');
    const { code, jumpTrue, jumpFalse, k } = instruction;
    if (code === 0x20) {
      if (k % 4 !== 0 || k > 60) throw new Error(`bad load ${k}`);
      loads.push(k);
      accumulator = data.getUint32(k, true);
    } else if (code === 0x15) {
      at += accumulator === k ? jumpTrue : jumpFalse;
    } else if (code === 0x06) {
      return { action: k, loads };
    } else {
      throw new Error(`unknown instruction ${code}`);
    }
  }
}

const isNullDisconnect = ({ nr, arch, args: [, command = 0n, argument = 0n] }: Call): boolean =>
  ((arch === X86_64 && nr === 16) || (arch === I386 && nr === 54)) &&
  BigInt.asUintN(32, command) === BigInt(DISCONNECT) &&
  argument === 0n;

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const near = (...values: readonly number[]) =>
  fc.oneof(
    fc.constantFrom(...values),
    fc.constantFrom(...values, 0).chain((n) => fc.constantFrom(n ^ 1, n ^ X32_BIT)),
  );
const call: fc.Arbitrary<Call> = fc.record({
  nr: fc.oneof(near(16, 54), fc.integer()),
  arch: fc.oneof(near(X86_64, I386, AARCH64), fc.nat({ max: 0xffff_ffff })).map((n) => n >>> 0),
  pointer: u64,
  args: fc.tuple(
    u64,
    fc.oneof(fc.constantFrom(BigInt(DISCONNECT), 0xffff_ffff_c008_9600n, 0xc008_9601n, 0xc020_9600n, 0n), u64),
    fc.oneof(fc.constantFrom(0n, 1n, 2n ** 32n, 2n ** 63n), u64),
    u64,
    u64,
    u64,
  ),
});

describe('NULL_DISCONNECT_FILTER', () => {
  test('reports PEER_DISCONNECT with NULL, of either architecture, and nothing else', () => {
    fc.assert(
      fc.property(call, (each) => {
        expect(run(each).action).toBe(isNullDisconnect(each) ? NOTIFY : ALLOW);
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    ['x86-64', X86_64, 16],
    ['i386', I386, 54],
  ])('an ioctl of %s', (_, arch, nr) => {
    const actions = [
      [BigInt(DISCONNECT), 0n],
      [0xffff_ffff_c008_9600n, 0n], // the kernel takes the command as 32 bits
      [BigInt(DISCONNECT), 8n],
      [BigInt(DISCONNECT), 2n ** 32n],
      [0xc008_9610n, 0n],
    ].map(([command = 0n, argument = 0n]) => run({ nr, arch, pointer: 0n, args: [3n, command, argument] }).action);
    expect(actions).toEqual([NOTIFY, NOTIFY, ALLOW, ALLOW, ALLOW]);
  });

  test('decides on every call but ioctl without looking at its arguments, so that the kernel can skip it', () => {
    for (const arch of [X86_64, I386, AARCH64]) {
      for (let nr = 0; nr < 500; nr++) {
        const { action, loads } = run({ nr, arch, pointer: 0n, args: [] });
        const isIoctl = (arch === X86_64 && nr === 16) || (arch === I386 && nr === 54);
        expect(action).toBe(ALLOW);
        if (!isIoctl) expect(loads.filter((offset) => offset >= 8)).toEqual([]);
      }
    }
  });

  test('every jump stays within it', () => {
    for (const [at, { jumpTrue, jumpFalse }] of NULL_DISCONNECT_FILTER.entries()) {
      for (const jump of [jumpTrue, jumpFalse]) {
        expect(jump).toBeGreaterThanOrEqual(0);
        expect(at + 1 + jump).toBeLessThanOrEqual(NULL_DISCONNECT_FILTER.length);
      }
    }
  });
});
