import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Budget } from '../../../src/base/budget.js';
import { POOL_SIZE, Pool } from '../../../src/bus/pool.js';
import { Quota } from '../../../src/bus/quota.js';
import type { Slice } from '../../../src/bus/slice.js';

const MIB = 1 << 20;

class Memory {
  readonly address = 0;
  readonly write = () => true;
  readonly discarded: [number, number][] = [];
  discard(start: number, end: number): void {
    this.discarded.push([start, end]);
  }
  retain(): void {}
  release(): void {}
}

const allocate = (pool: Pool, size: number): Slice => {
  const slice = pool.allocate(size);
  if (slice === undefined) throw new Error(`no room for ${size}`);
  return slice;
};

describe('Pool', () => {
  test('takes the smallest free block that fits, at its low end', () => {
    const pool = new Pool(new Memory());
    const slices = [64, 8, 32, 8, 128, 8].map((size) => allocate(pool, size));
    for (const i of [0, 2, 4]) pool.release(slices[i] as Slice);
    expect(allocate(pool, 32).offset).toBe(72);
    expect(allocate(pool, 40).offset).toBe(0);
    expect(allocate(pool, 24).offset).toBe(40);
    expect(allocate(pool, 104).offset).toBe(112);
    expect(allocate(pool, 1000).offset).toBe(248);
  });

  test('is one block again once everything is freed', () => {
    const pool = new Pool(new Memory());
    const slices = [8, 16, 24].map((size) => allocate(pool, size));
    expect(pool.allocate(POOL_SIZE)).toBeUndefined();
    for (const slice of slices) pool.release(slice);
    expect(allocate(pool, POOL_SIZE).offset).toBe(0);
    expect(pool.allocate(8)).toBeUndefined();
  });

  test('keeps a little memory warm and gives the rest back', () => {
    const memory = new Memory();
    const pool = new Pool(memory);
    for (let i = 0; i < 3; i++) pool.release(allocate(pool, MIB));
    expect(memory.discarded).toEqual([]);
    pool.release(allocate(pool, 64 * MIB));
    expect(memory.discarded).toEqual([[2 * MIB, 64 * MIB]]);
  });

  test('gives back once what was touched once', () => {
    const memory = new Memory();
    const pool = new Pool(memory);
    pool.release(allocate(pool, 64 * MIB));
    for (let i = 0; i < 3; i++) pool.release(allocate(pool, MIB));
    expect(memory.discarded).toHaveLength(1);
    // a range that grows gives back what it grew by
    const [low, high] = [allocate(pool, 8 * MIB), allocate(pool, 8 * MIB)] as const;
    pool.release(low);
    pool.release(high);
    expect(memory.discarded.slice(1).map(([, end]) => end)).toEqual([8 * MIB, 16 * MIB]);
    pool.release(allocate(pool, MIB));
    expect(memory.discarded).toHaveLength(3);
  });

  test('what is free keeps at most 2 MiB of each range, and what is in use is left alone', () => {
    const CHUNK = MIB / 4;
    const step = fc.oneof(fc.record({ chunks: fc.integer({ min: 1, max: 24 }) }), fc.record({ release: fc.nat() }));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const memory = new Memory();
        const pool = new Pool(memory);
        const live: Slice[] = [];
        /** Chunks whose pages are in memory. */
        const touched = new Set<number>();
        const chunksOf = ({ offset, end }: { offset: number; end: number }): number[] => {
          const chunks = [];
          for (let at = offset; at < end; at += CHUNK) chunks.push(at / CHUNK);
          return chunks;
        };
        for (const action of steps) {
          if ('chunks' in action) {
            const slice = allocate(pool, action.chunks * CHUNK);
            for (const chunk of chunksOf(slice)) touched.add(chunk);
            live.push(slice);
          } else if (live.length > 0) {
            pool.release(live.splice(action.release % live.length, 1)[0] as Slice);
          }
          for (const [offset, end] of memory.discarded.splice(0)) {
            for (const chunk of chunksOf({ offset, end })) touched.delete(chunk);
          }
          for (const slice of live) for (const chunk of chunksOf(slice)) expect(touched.has(chunk)).toBe(true);
          for (const { offset, size } of gapsBetween(live)) {
            const warm = [...touched].filter((chunk) => chunk * CHUNK >= offset && chunk * CHUNK < offset + size);
            expect(warm.length * CHUNK).toBeLessThanOrEqual(2 * MIB);
          }
        }
      }),
    );
  });

  describe('warmth', () => {
    const PAGE = 4096;
    const quotaOf = (budget: Budget): Quota => new Quota(2 ** 40, 0, (left) => left / 2, undefined, budget);

    /** Knows which pages are in memory, and how many slices are in each. */
    class Pages extends Memory {
      readonly touched = new Set<number>();
      readonly used = new Map<number, number>();

      override discard(start: number, end: number): void {
        expect([start % PAGE, end % PAGE]).toEqual([0, 0]);
        for (const page of this.touched) {
          if (page * PAGE < start || page * PAGE >= end) continue;
          expect(this.used.has(page)).toBe(false);
          this.touched.delete(page);
        }
      }

      use({ offset, end }: Slice, by: 1 | -1): void {
        for (let page = Math.floor(offset / PAGE); page * PAGE < end; page++) {
          this.touched.add(page);
          const users = (this.used.get(page) ?? 0) + by;
          if (users === 0) this.used.delete(page);
          else this.used.set(page, users);
        }
      }

      /** How many bytes of pages are in memory for nothing. */
      get idle(): number {
        return (this.touched.size - this.used.size) * PAGE;
      }
    }

    const step = fc.oneof(
      fc.record({ size: fc.integer({ min: 1, max: 2000 }).map((n) => n * 8) }),
      fc.record({ size: fc.integer({ min: 1, max: 100 }).map((n) => n * PAGE) }),
      fc.record({ size: fc.integer({ min: 1, max: 3 }).map((n) => n * MIB) }),
      fc.record({ release: fc.nat() }),
      fc.record({ release: fc.nat() }),
    );

    test('what is free and in memory is charged, in all pools at most what there is, and gone when they are closed', () => {
      const budget = fc.constantFrom(0, PAGE, 10 * PAGE + 5, MIB, 100 * MIB);
      const steps = fc.array(fc.tuple(fc.nat({ max: 2 }), step), { maxLength: 60 });
      fc.assert(
        fc.property(budget, steps, (max, actions) => {
          const warm = new Budget(max);
          const user = quotaOf(warm);
          const pools = [0, 1, 2].map(() => {
            const memory = new Pages();
            const pool = new Pool(memory);
            pool.warmth = user;
            return { pool, memory, live: [] as Slice[] };
          });
          for (const [i, action] of actions) {
            const { pool, memory, live } = pools[i] as (typeof pools)[number];
            if ('size' in action) {
              const slice = allocate(pool, action.size);
              memory.use(slice, 1);
              live.push(slice);
            } else if (live.length > 0) {
              const slice = live.splice(action.release % live.length, 1)[0] as Slice;
              memory.use(slice, -1);
              pool.release(slice);
            }
            for (const { memory } of pools) expect(memory.idle).toBeLessThanOrEqual(2 * MIB);
            expect(pools.reduce((sum, { memory }) => sum + memory.idle, 0)).toBeLessThanOrEqual(user.used);
            expect(user.used).toBe(warm.used);
            expect(user.used).toBeLessThanOrEqual(max / 2);
          }
          for (const { pool, memory, live } of pools) {
            // one is written to for longer than there is anybody to receive it
            const last = live.pop();
            for (const slice of live) {
              memory.use(slice, -1);
              pool.release(slice);
            }
            if (last !== undefined) memory.use(last, -1);
            pool.close();
            if (last !== undefined) {
              memory.use(last, 1);
              memory.use(last, -1);
              pool.release(last);
            }
            expect(memory.touched.size).toBe(0);
          }
          expect([user.used, warm.used]).toEqual([0, 0]);
        }),
      );
    });

    test('the end of the pool is a page like others', () => {
      const memory = new Pages();
      const pool = new Pool(memory);
      const low = allocate(pool, POOL_SIZE - 8);
      const high = allocate(pool, 8);
      memory.use(high, 1);
      memory.use(high, -1);
      pool.release(high);
      pool.release(low);
      pool.close();
      expect(memory.touched.size).toBe(0);
    });

    test('pages that are shared with what is in use do not count', () => {
      const user = quotaOf(new Budget(100 * MIB));
      const pool = new Pool(new Memory());
      pool.warmth = user;
      const [, b] = [allocate(pool, 8), allocate(pool, 8), allocate(pool, 8)] as const;
      pool.release(b);
      expect(user.used).toBe(0);
      pool.release(allocate(pool, 3 * PAGE));
      expect(user.used).toBe(3 * PAGE);
    });
  });

  test('slices never overlap, the fit is the best one, and all of it comes back', () => {
    const operation = fc.oneof(
      fc.record({ size: fc.integer({ min: 1, max: 64 }).map((n) => n * 8) }),
      fc.record({ size: fc.integer({ min: 1, max: POOL_SIZE / 8 }).map((n) => n * 8) }),
      fc.record({ release: fc.nat() }),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 200 }), (operations) => {
        const pool = new Pool(new Memory());
        const live: Slice[] = [];
        for (const step of operations) {
          if ('size' in step) {
            const gaps = gapsBetween(live).filter((gap) => gap.size >= step.size);
            const best = Math.min(...gaps.map((gap) => gap.size));
            const slice = pool.allocate(step.size);
            expect(slice === undefined).toBe(gaps.length === 0);
            if (slice === undefined) continue;
            expect(slice.size).toBe(step.size);
            expect(gaps.filter((gap) => gap.size === best).map((gap) => gap.offset)).toContain(slice.offset);
            live.push(slice);
          } else if (live.length > 0) {
            pool.release(live.splice(step.release % live.length, 1)[0] as Slice);
          }
        }
        for (const slice of live) pool.release(slice);
        expect(pool.allocate(POOL_SIZE)?.offset).toBe(0);
      }),
    );
  });
});

/** The free ranges around slices, found the slow way; throws if two slices overlap. */
function gapsBetween(slices: readonly Slice[]): { offset: number; size: number }[] {
  const gaps = [];
  let end = 0;
  for (const slice of [...slices].sort((a, b) => a.offset - b.offset)) {
    if (slice.offset < end) throw new Error(`slices overlap at ${slice.offset}`);
    if (slice.offset > end) gaps.push({ offset: end, size: slice.offset - end });
    end = slice.offset + slice.size;
  }
  if (end < POOL_SIZE) gaps.push({ offset: end, size: POOL_SIZE - end });
  return gaps;
}
