import { readdirSync, readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Bytes } from '../../../src/base/bytes.js';
import { Errno } from '../../../src/base/errno.js';
import type { PendingEnd } from '../../../src/device.js';
import { FUSE_POLL_SCHEDULE_NOTIFY, InHeader, InterruptIn, Opcode } from '../../../src/fuse/fuse-abi.js';
import { close } from '../../../src/linux/file.js';
import {
  type Answer,
  FakeDevice,
  FakeDirectory,
  type FakeFile,
  FakePending,
  getAttributes,
  ioctl,
  ioctlText,
  isNotification,
  Kernel,
  packetPair,
  poll,
  release,
  request,
  sendPacket,
} from '../../support/kernel.js';

const WAIT = 1;
const FINISH = 2;

let device: FakeDevice;
let kernel: Kernel;
let fh: number;
let file: FakeFile;
/** What the next calls that wait are. */
let pendings: FakePending[];
let descriptors: number[];

beforeEach(() => {
  device = new FakeDevice();
  kernel = new Kernel(new FakeDirectory({ device }));
  fh = kernel.openName('device').fh;
  file = device.files[0] as FakeFile;
  pendings = [];
  descriptors = [];
  let next = 0;
  file.onIoctl = (command) => (command === WAIT ? (pendings[next++] ?? Errno.EIO) : Errno.OK);
});

afterEach(() => {
  kernel.close();
  for (const fd of descriptors) close(fd);
});

/** A call that waits, and how it is answered. */
function wait(options: ConstructorParameters<typeof FakePending>[0] = {}): {
  readonly pending: FakePending;
  readonly call: Bytes;
} {
  const pending = new FakePending(options);
  pendings.push(pending);
  return { pending, call: ioctl(fh, WAIT, `wait ${pendings.length}`) };
}

const uniqueOf = (bytes: Bytes): number => bytes.u64(InHeader.unique);
const outcome = ({ unique, error }: Answer): readonly [number, number] => [unique, error];
const interrupt = (unique: number): Bytes =>
  request(Opcode.INTERRUPT, {}, InterruptIn.sizeof, (bytes) => bytes.setU64(InterruptIn.unique, unique));
const nowNs = (): bigint => process.hrtime.bigint();
/** A descriptor that becomes readable by wake(). */
function signal(): { readonly fd: number; readonly wake: () => void } {
  const [fd, other] = packetPair();
  descriptors.push(fd, other);
  return { fd, wake: () => sendPacket(other, Buffer.from('!')) };
}

describe('a call that waits', () => {
  test('is not answered, and holds up nobody', () => {
    const { call } = wait();
    const other = getAttributes(1);
    expect(kernel.handle(call, other).map(outcome)).toEqual([[uniqueOf(other), 0]]);
  });

  test('is answered when it is finished, by another call, and before that one', () => {
    const { pending, call } = wait();
    kernel.handle(call);
    const wakeUp = ioctl(fh, FINISH);
    file.onIoctl = () => {
      pending.argument?.u8.set(Buffer.from('WAIT'), 0);
      pending.finish?.(Errno.OK);
      return Errno.OK;
    };
    const answers = kernel.handle(wakeUp);
    expect(answers.map(outcome)).toEqual([
      [uniqueOf(call), 0],
      [uniqueOf(wakeUp), 0],
    ]);
    expect(ioctlText(answers[0] as Answer)).toBe('WAIT 1');
    expect(pending.ends).toEqual([]);
  });

  test('keeps its argument through what is handled meanwhile', () => {
    const { pending, call } = wait();
    kernel.handle(call, ioctl(fh, 5, 'something much longer than that'), getAttributes(1));
    expect(pending.argument?.text(0, 6)).toBe('wait 1');
  });

  test('can fail', () => {
    const { pending, call } = wait();
    kernel.handle(call);
    file.onIoctl = () => {
      pending.finish?.(Errno.ESHUTDOWN);
      return Errno.OK;
    };
    expect(kernel.handle(ioctl(fh, FINISH))[0]).toMatchObject({ unique: uniqueOf(call), error: Errno.ESHUTDOWN });
  });

  test('cannot be finished twice', () => {
    const { pending, call } = wait();
    kernel.handle(call);
    file.onIoctl = () => {
      pending.finish?.(Errno.OK);
      pending.finish?.(Errno.OK);
      return Errno.OK;
    };
    const answers = kernel.handle(ioctl(fh, FINISH));
    expect(answers.map(({ error }) => error).sort()).toEqual([0, Errno.EIO]);
    expect(kernel.lines).toMatchObject([{ err: { message: 'a call was finished twice' } }]);
  });

  test('is one of many, each with its own answer', () => {
    const waiting = Array.from({ length: 50 }, () => wait());
    kernel.handle(...waiting.map(({ call }) => call));
    const order = [...waiting.keys()].sort((a, b) => ((a * 7) % 50) - ((b * 7) % 50));
    for (const i of order) {
      const { pending, call } = waiting[i] as (typeof waiting)[number];
      file.onIoctl = () => {
        pending.finish?.(Errno.OK);
        return Errno.OK;
      };
      const [answer] = kernel.handle(ioctl(fh, FINISH));
      expect(answer?.unique).toBe(uniqueOf(call));
      expect(ioctlText(answer as Answer)).toBe(`wait ${i + 1}`);
    }
  });

  test('may be finished by a RELEASE', () => {
    const other = kernel.openName('device');
    const { pending, call } = wait();
    kernel.handle(call);
    (device.files[1] as FakeFile).release = () => pending.finish?.(Errno.ESHUTDOWN);
    expect(kernel.handle(release(other.nodeid, other.fh)).map(({ error }) => error)).toEqual([Errno.ESHUTDOWN, 0]);
  });

  test('is answered after those who wait in poll are woken', () => {
    const { pending, call } = wait();
    kernel.handle(call);
    kernel.call(poll(fh, 9n, FUSE_POLL_SCHEDULE_NOTIFY));
    file.onIoctl = () => {
      pending.finish?.(Errno.OK);
      file.onPollChange?.();
      return Errno.OK;
    };
    expect(kernel.handle(ioctl(fh, FINISH)).map(isNotification)).toEqual([true, false, false]);
  });
});

describe('once no call waits', () => {
  test('requests are waited for as if none had', () => {
    expect(kernel.isNonBlocking()).toBe(false);
    const { call } = wait();
    kernel.handle(call);
    expect(kernel.isNonBlocking()).toBe(true);
    kernel.handle(interrupt(uniqueOf(call)));
    expect(kernel.isNonBlocking()).toBe(false);
  });

  test('what would have ended one is not waited for any more', () => {
    const { fd } = signal();
    const { call } = wait({ cancelFd: fd });
    kernel.handle(call);
    expect(waitedFor()).toContain(fd);
    kernel.handle(interrupt(uniqueOf(call)));
    expect(waitedFor()).not.toContain(fd);
  });
});

describe('nothing is kept of a call that was answered', () => {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;

  /** Has a call wait and interrupts it. */
  function come(options: ConstructorParameters<typeof FakePending>[0]): WeakRef<FakePending> {
    const { pending, call } = wait(options);
    kernel.handle(call, interrupt(uniqueOf(call)));
    expect(pending.ends).toEqual(['interrupted']);
    pendings.length = 0;
    return new WeakRef(pending);
  }
  const remains = async (reference: WeakRef<object>): Promise<boolean> => {
    await new Promise(setImmediate); // a WeakRef holds on to the end of the job it is made in
    collectGarbage();
    return reference.deref() !== undefined;
  };

  test('without a deadline', async () => {
    file.onIoctl = () => pendings[0] ?? Errno.EIO;
    expect(await remains(come({}))).toBe(false);
  });

  test('with one that is far', async () => {
    file.onIoctl = () => pendings[0] ?? Errno.EIO;
    expect(await remains(come({ deadline: nowNs() + 10n ** 15n }))).toBe(false);
  });
});

/** The descriptors that this process waits for by epoll(7). */
const waitedFor = (): number[] =>
  readdirSync('/proc/self/fdinfo').flatMap((name) => {
    try {
      const text = readFileSync(`/proc/self/fdinfo/${name}`, 'latin1');
      return Array.from(text.matchAll(/^tfd:\s*(\d+)/gm), ([, fd]) => Number(fd));
    } catch {
      return []; // the directory's own
    }
  });

describe('a deadline', () => {
  /** Has calls wait, and the mount end when the last of them has. Tells which ended, in their order. */
  function endings(...deadlines: readonly bigint[]): number[] {
    const ended: number[] = [];
    const waiting = deadlines.map((deadline, i) => {
      const { pending, call } = wait({ deadline });
      pending.onEnd = (why) => {
        expect(why).toBe('timeout');
        ended.push(i);
        if (ended.length === deadlines.length) kernel.unmount();
        return Errno.EAGAIN;
      };
      return call;
    });
    for (const call of waiting) kernel.send(call);
    const answers = kernel.run();
    expect(answers.map(outcome)).toEqual(ended.map((i) => [uniqueOf(waiting[i] as Bytes), Errno.EAGAIN]));
    return ended;
  }

  test('ends a call without anybody else', () => {
    expect(endings(nowNs() + 2_000_000n)).toEqual([0]);
  });

  test('that is over already ends it at once', () => {
    expect(endings(0n)).toEqual([0]);
  });

  test('of several, the earliest comes first', () => {
    const now = nowNs();
    expect(endings(now + 9_000_000n, now + 3_000_000n, now + 6_000_000n, 1n)).toEqual([3, 1, 2, 0]);
  });

  test('is not before its time', () => {
    const deadline = nowNs() + 5_000_000n;
    endings(deadline);
    expect(nowNs()).toBeGreaterThanOrEqual(deadline);
  });

  test('of a call that was finished ends nothing', () => {
    const first = wait({ deadline: nowNs() + 1_000_000n });
    const second = wait({ deadline: nowNs() + 3_000_000n });
    second.pending.onEnd = () => {
      kernel.unmount();
      return Errno.EAGAIN;
    };
    file.onIoctl = (command) => {
      if (command === FINISH) first.pending.finish?.(Errno.OK);
      return command === FINISH ? Errno.OK : (pendings.shift() ?? Errno.EIO);
    };
    for (const call of [first.call, ioctl(fh, FINISH), second.call]) kernel.send(call);
    expect(kernel.run()).toHaveLength(3);
    expect([first.pending.ends, second.pending.ends]).toEqual([[], ['timeout']]);
  });

  test('a far one leaves requests to be served', () => {
    const { pending, call } = wait({ deadline: nowNs() + 10n ** 18n });
    kernel.handle(call);
    expect(kernel.call(getAttributes(1)).error).toBe(0);
    expect(pending.ends).toEqual([]);
  });
});

describe('a cancel descriptor', () => {
  const ends = (pending: FakePending, error: Errno): void => {
    pending.onEnd = () => {
      kernel.unmount();
      return error;
    };
  };

  test('ends the call when it becomes readable', () => {
    const { fd, wake } = signal();
    const { pending, call } = wait({ cancelFd: fd });
    kernel.handle(call);
    expect(pending.ends).toEqual([]);
    ends(pending, Errno.EINTR);
    wake();
    expect(kernel.run().map(outcome)).toEqual([[uniqueOf(call), Errno.EINTR]]);
    expect(pending.ends).toEqual(['cancelled']);
  });

  test('that is readable already ends it at once', () => {
    const { fd, wake } = signal();
    wake();
    const { pending, call } = wait({ cancelFd: fd });
    ends(pending, Errno.EINTR);
    kernel.send(call);
    expect(kernel.run().map(outcome)).toEqual([[uniqueOf(call), Errno.EINTR]]);
  });

  test('that can never be waited for is always readable', () => {
    const { pending, call } = wait({ cancelFd: 0x7fff_0000 });
    kernel.handle(call);
    expect(pending.ends).toEqual(['cancelled']);
  });

  test('has no say once the call is over', () => {
    const { fd, wake } = signal();
    const { pending, call } = wait({ cancelFd: fd });
    kernel.handle(call, interrupt(uniqueOf(call)));
    wake();
    expect(kernel.handle(getAttributes(1))).toHaveLength(1);
    expect(pending.ends).toEqual(['interrupted']);
  });
});

describe('INTERRUPT', () => {
  test('ends the call it names, with what that says, and has no answer itself', () => {
    const [a, b] = [wait(), wait()];
    b.pending.onEnd = () => Errno.EAGAIN;
    expect(kernel.handle(a.call, b.call, interrupt(uniqueOf(b.call))).map(outcome)).toEqual([
      [uniqueOf(b.call), Errno.EAGAIN],
    ]);
    const seen: PendingEnd[][] = [a.pending.ends, b.pending.ends];
    expect(seen).toEqual([[], ['interrupted']]);
  });

  test('of what is answered, or was never asked, does nothing', () => {
    const { pending, call } = wait();
    const answers = kernel.handle(call, ...[uniqueOf(call), uniqueOf(call), 0, 4711].map(interrupt));
    expect(answers).toHaveLength(1);
    expect(pending.ends).toEqual(['interrupted']);
  });

  test('may end in success, and brings the argument back', () => {
    const { pending, call } = wait();
    pending.onEnd = () => {
      pending.argument?.u8.set(Buffer.from('DONE'), 0);
      return Errno.OK;
    };
    const [answer] = kernel.handle(call, interrupt(uniqueOf(call)));
    expect(ioctlText(answer as Answer)).toBe('DONE 1');
  });
});
