import { pino } from 'pino';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Errno } from '../../../src/base/errno.js';
import type { ClientMemory } from '../../../src/caller/client-memory.js';
import { Hands, type HandsOptions } from '../../../src/caller/hands.js';
import { CallRefused, Suspension } from '../../../src/device.js';
import { Epoll } from '../../../src/linux/epoll.js';
import { createEventfd } from '../../../src/linux/eventfd.js';
import { close } from '../../../src/linux/file.js';
import { NativeBuffer } from '../../../src/linux/native-buffer.js';
import { stopTicking } from '../../../src/linux/ticker.js';
import { accounts } from '../../support/budgets.js';
import { SlowPage } from '../../support/slow-memory.js';

const TID = process.pid;
const ROOT = 0;
const MAX_PER_USER = 2;

let doneFd: number;
let options: HandsOptions;
let hands: Hands;
let pages: SlowPage[];
let lines: { readonly level: number; readonly uid: number; readonly msg: string }[];

beforeEach(() => {
  doneFd = createEventfd();
  lines = [];
  pages = [];
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) });
  options = { doneFd, bytes: accounts(), maxPerUser: MAX_PER_USER, trusted: new Set([ROOT]), log };
  hands = new Hands(options);
});

afterEach(() => {
  for (const page of pages) page.close();
  close(doneFd);
});

afterAll(stopTicking);

function slowPage(): SlowPage {
  const page = new SlowPage();
  pages.push(page);
  return page;
}

/** What is thrown, which must be something. */
function thrownBy(run: () => unknown): unknown {
  try {
    run();
  } catch (thrown) {
    return thrown;
  }
  throw new Error('nothing was thrown');
}

/** Waits until a hand is back, and lets its call go on. */
function collect(): void {
  const epoll = new Epoll();
  epoll.add(doneFd, 1);
  while (epoll.wait(10_000).length === 0); // a tick interrupts it
  epoll.close();
  hands.collect();
}

const read = (memory: ClientMemory, page: SlowPage, length = 5): string => {
  const bytes = memory.read(TID, 0, [{ address: page.address, length }], 0);
  return memory.scratch(0).text(0, bytes);
};

/** A call of a user that is suspended while it reads a page. */
function suspend(uid: number): {
  readonly memory: ClientMemory;
  readonly page: SlowPage;
  readonly suspension: Suspension;
} {
  const [memory, page] = [hands.acquire(uid), slowPage()];
  memory.reset();
  const suspension = thrownBy(() => read(memory, page));
  if (!(suspension instanceof Suspension)) throw suspension;
  return { memory, page, suspension };
}

describe('Hands', () => {
  test('a call whose memory does not come is suspended, and runs again when it is there', () => {
    const { memory, page, suspension } = suspend(1000);
    let result = '';
    suspension.resume = () => {
      result = read(memory, page);
    };
    page.arrive('hello');
    collect();
    expect(result).toBe('hello');
  });

  test('other users, and the same one, go on meanwhile', () => {
    const { memory, page, suspension } = suspend(1000);
    for (const uid of [1000, 1001, ROOT]) {
      const other = hands.acquire(uid);
      expect(other).not.toBe(memory);
      other.reset();
      const word = new NativeBuffer(8);
      word.setU32(0, 0x6f6c6568);
      other.read(TID, 0, [{ address: word.address, length: 4 }], 0);
      expect(other.scratch(0).text(0, 4)).toBe('helo');
      hands.release(other);
    }
    suspension.resume = () => {};
    page.arrive('');
    collect();
  });

  test('a user may keep so many hands out and no more; one line says so', () => {
    const calls = [suspend(1000), suspend(1000)];
    for (let i = 0; i < 2; i++) {
      const refused = thrownBy(() => hands.acquire(1000));
      expect(refused).toBeInstanceOf(CallRefused);
      expect((refused as CallRefused).error).toBe(Errno.EBUSY);
    }
    expect(lines).toMatchObject([{ level: 40, uid: 1000, msg: expect.stringContaining('--max-hands') }]);
    const [first] = calls;
    if (first === undefined) throw new Error('no call');
    first.suspension.resume = () => hands.release(first.memory);
    first.page.arrive('');
    collect();
    for (const { page, suspension } of [...calls.slice(1), suspend(1000), suspend(1001)]) {
      suspension.resume = () => {};
      page.arrive('');
      collect();
    }
  });

  test('users who are trusted have none', () => {
    expect(hands.acquire(ROOT)).toBe(hands.direct);
    expect(hands.direct.hand).toBeUndefined();
  });

  test('large payloads on their way count for their user until the call is over', () => {
    const bytes = accounts(1 << 20);
    const memory = new Hands({ ...options, bytes }).acquire(1000);
    const source = new NativeBuffer(600 << 10);
    const fetch = (length: number): Uint8Array | Errno => {
      const vector = memory.scratch(16);
      vector.setU64(0, source.address);
      vector.setU64(8, length);
      return memory.fetch(TID, length, 1, 0);
    };
    expect(fetch(64 << 10)).toHaveLength(64 << 10);
    memory.reset();
    expect(bytes.held(1000)).toBe(0);
    expect(fetch(300 << 10)).toHaveLength(300 << 10);
    expect([bytes.held(1000), fetch(301 << 10)]).toEqual([300 << 10, Errno.EDQUOT]);
    memory.reset();
    expect([bytes.held(1000), bytes.budget.used]).toEqual([0, 0]);
    expect(fetch(600 << 10)).toBe(Errno.EDQUOT);
    memory.reset();
  });

  test('one that comes back is used again', () => {
    const memory = hands.acquire(1000);
    hands.release(memory);
    expect(hands.acquire(1001)).toBe(memory);
  });

  test('several come back at once', () => {
    const calls = [suspend(1), suspend(2), suspend(3)];
    const resumed: number[] = [];
    for (const [i, { suspension }] of calls.entries()) suspension.resume = () => resumed.push(i);
    for (const { page } of calls) page.arrive('');
    while (resumed.length < 3) collect();
    expect(resumed.sort()).toEqual([0, 1, 2]);
  });

  test('what was kept for a hand that is out is freed before its call runs again', () => {
    const { page, suspension } = suspend(1000);
    const order: string[] = [];
    suspension.keep(() => order.push('freed'));
    suspension.resume = () => order.push('again');
    page.arrive('');
    collect();
    expect(order).toEqual(['freed', 'again']);
  });
});

describe('a call that runs again', () => {
  test('has what it had read, without reading it once more', () => {
    const memory = hands.acquire(1000);
    memory.reset();
    const page = slowPage();
    const vector = new NativeBuffer(16);
    vector.setIovec(0, page.address, 5);
    const target = new NativeBuffer(8);
    let runs = 0;
    /** As SEND does it: the array of vectors with what it leads to, then the payload. */
    const command = (): Errno => {
      runs++;
      memory.scratch(16);
      const length = memory.read(
        TID,
        0,
        [
          { address: vector.address, length: 16 },
          { address: 0, length: 0 },
        ],
        1,
      );
      expect(length).toBe(16);
      return memory.gather(TID, 5, 1, [target.address]);
    };
    const suspension = thrownBy(command) as Suspension;
    expect(suspension).toBeInstanceOf(Suspension);
    let error: Errno = Errno.EIO;
    suspension.resume = () => {
      error = command();
    };
    // what the program writes there meanwhile is too late
    vector.setIovec(0, 0x1000, 5);
    page.arrive('hello');
    collect();
    expect([error, target.text(0, 5), runs]).toEqual([Errno.OK, 'hello', 2]);
  });

  test('may be suspended once more, elsewhere', () => {
    const memory = hands.acquire(1000);
    memory.reset();
    const [first, second] = [slowPage(), slowPage()];
    const source = new NativeBuffer(8);
    source.u8.set(Buffer.from('out'));
    const command = (): Errno => {
      memory.scratch(16);
      memory.read(TID, 0, [{ address: first.address, length: 5 }], 0);
      return memory.write(TID, second.address, source, 3);
    };
    let suspension = thrownBy(command) as Suspension;
    let outcome: unknown;
    const resume = (): void => {
      try {
        outcome = command();
      } catch (thrown) {
        suspension = thrown as Suspension;
        suspension.resume = resume;
      }
    };
    suspension.resume = resume;
    first.arrive('hello');
    collect();
    expect(outcome).toBeUndefined();
    second.arrive('....');
    collect();
    expect(outcome).toBe(Errno.OK);
    const check = hands.direct;
    check.read(TID, 0, [{ address: second.address, length: 4 }], 0);
    expect(check.scratch(0).text(0, 4)).toBe('out.');
  });
});
