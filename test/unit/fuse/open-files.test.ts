import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Errno } from '../../../src/base/errno.js';
import { Poll } from '../../../src/device.js';
import {
  FOPEN_DIRECT_IO,
  FOPEN_NOFLUSH,
  FUSE_POLL_SCHEDULE_NOTIFY,
  FUSE_ROOT_ID,
  InHeader,
  NotifyPollWakeupOut,
  Opcode,
  OpenOut,
  OutHeader,
} from '../../../src/fuse/fuse-abi.js';
import {
  type Answer,
  FakeDevice,
  FakeDirectory,
  FakeFile,
  FakeText,
  FIRST_ID,
  ioctl,
  isNotification,
  Kernel,
  poll,
  read,
  release,
  request,
  revents,
} from '../../support/kernel.js';

let device: FakeDevice;
let text: FakeText;
let kernel: Kernel;

beforeEach(() => {
  device = new FakeDevice();
  text = new FakeText('hello, world');
  kernel = new Kernel(new FakeDirectory({ device, text, sub: new FakeDirectory() }));
});

afterEach(() => {
  kernel.close();
});

const READY = Poll.IN | Poll.OUT | Poll.RDNORM | Poll.WRNORM;
const flagsOf = ({ bytes }: Answer): number => bytes.u32(OpenOut.open_flags);
const opened = (i: number): FakeFile => {
  const file = device.files[i];
  if (file === undefined) throw new Error(`${i} was not opened`);
  return file;
};

describe('OPEN', () => {
  test('of a device gives each its own handle, and asks the kernel for neither cache nor flush', () => {
    const nodeid = kernel.nodeOf('device');
    const answers = [kernel.open(nodeid), kernel.open(nodeid)];
    expect(answers.map(flagsOf)).toEqual(Array(2).fill(FOPEN_DIRECT_IO | FOPEN_NOFLUSH));
    const handles = answers.map(({ bytes }) => bytes.u64(OpenOut.fh));
    expect(new Set(handles).size).toBe(2);
    for (const handle of handles) expect(handle).toBeGreaterThanOrEqual(FIRST_ID);
  });

  test('tells a device of the files that are open on the same inode, and of no others', () => {
    const [first, second] = [kernel.nodeOf('device'), kernel.nodeOf('device')];
    const { bytes } = kernel.open(first);
    kernel.open(first);
    kernel.open(second);
    kernel.call(release(first, bytes.u64(OpenOut.fh)));
    kernel.open(first);
    expect(device.siblings).toEqual([[], [opened(0)], [], [opened(1)]]);
  });

  test('what a device answers instead of a file is the answer', () => {
    device.onOpen = () => Errno.EMFILE;
    expect(kernel.open(kernel.nodeOf('device')).error).toBe(Errno.EMFILE);
  });

  test('a file whose memory the kernel does not take is given up', () => {
    const file = new FakeFile();
    let isClosed = false;
    file.memory = {
      fd: 0,
      closeFd: () => {
        isClosed = true;
      },
    };
    device.onOpen = () => file;
    const nodeid = kernel.nodeOf('device');
    const { error, bytes } = kernel.open(nodeid); // a socket takes none
    expect([error, bytes.size]).toEqual([Errno.ENOTTY, OutHeader.sizeof]);
    expect([isClosed, file.isReleased]).toEqual([true, true]);
    expect(kernel.lines).toMatchObject([{ level: 50, msg: 'the kernel refused a backing file' }]);
    device.onOpen = () => new FakeFile();
    expect(kernel.open(nodeid).error).toBe(0);
    expect(device.siblings.at(-1)).toEqual([]);
  });

  test('of a directory is EISDIR, and of what nobody knows ESTALE', () => {
    const errors = [FUSE_ROOT_ID, kernel.nodeOf('sub'), FIRST_ID - 1, 10 ** 9].map((id) => kernel.open(id).error);
    expect(errors).toEqual([Errno.EISDIR, Errno.EISDIR, Errno.ESTALE, Errno.ESTALE]);
  });

  test('of a text asks for neither cache nor flush', () => {
    const answer = kernel.open(kernel.nodeOf('text'));
    expect(flagsOf(answer)).toBe(FOPEN_DIRECT_IO | FOPEN_NOFLUSH);
    expect(answer.bytes.i32(OpenOut.backing_id)).toBe(0);
  });

  test('of a text that the caller must not read is what the text says', () => {
    text.text = Errno.EACCES;
    expect(kernel.open(kernel.nodeOf('text')).error).toBe(Errno.EACCES);
  });
});

describe('READ', () => {
  const readText = (fh: number, offset: number, size: number): string => {
    const { error, bytes } = kernel.call(read(Opcode.READ, fh, offset, size));
    expect(error).toBe(0);
    return bytes.text(OutHeader.sizeof, bytes.size);
  };

  test('gives the part of a text that was asked for, as far as there is one', () => {
    const { fh } = kernel.openName('text');
    expect(readText(fh, 0, 4096)).toBe('hello, world');
    expect(readText(fh, 7, 3)).toBe('wor');
    expect(readText(fh, 7, 100)).toBe('world');
    expect([readText(fh, 12, 10), readText(fh, 2 ** 40, 10), readText(fh, 0, 0)]).toEqual(['', '', '']);
  });

  test('a text is what it was when it was opened', () => {
    const { fh } = kernel.openName('text');
    text.text = 'something else';
    expect(readText(fh, 0, 100)).toBe('hello, world');
    expect(readText(kernel.openName('text').fh, 0, 100)).toBe('something else');
  });

  test('a text larger than a reply comes in parts', () => {
    text.text = 'x'.repeat(300_000);
    const { fh } = kernel.openName('text');
    let length = 0;
    for (let part = -1; part !== 0; length += part) part = readText(fh, length, 2 ** 31).length;
    expect(length).toBe(300_000);
  });

  test('of a device, and of what is not open, is EINVAL', () => {
    const { nodeid, fh } = kernel.openName('text');
    kernel.call(release(nodeid, fh));
    const handles = [kernel.openName('device').fh, fh, 1];
    expect(handles.map((each) => kernel.call(read(Opcode.READ, each, 0, 10)).error)).toEqual(
      Array(3).fill(Errno.EINVAL),
    );
  });
});

test('WRITE is EINVAL', () => {
  const { fh } = kernel.openName('device');
  const write = request(Opcode.WRITE, {}, InHeader.sizeof + 48, (bytes) => bytes.setU64(InHeader.sizeof, fh));
  expect(kernel.call(write).error).toBe(Errno.EINVAL);
});

describe('RELEASE', () => {
  test('releases the file, and is answered', () => {
    const { nodeid, fh } = kernel.openName('device');
    expect(opened(0).isReleased).toBe(false);
    expect(kernel.call(release(nodeid, fh)).error).toBe(0);
    expect(opened(0).isReleased).toBe(true);
    expect(kernel.call(ioctl(fh, 1)).error).toBe(Errno.ENOTTY);
  });

  test('of what is not open is answered too', () => {
    expect(kernel.call(release(FUSE_ROOT_ID, 5)).error).toBe(0);
  });
});

describe('POLL', () => {
  const notificationsOf = (answers: readonly Answer[]): bigint[] =>
    answers.filter(isNotification).map(({ bytes }) => bytes.bigU64(NotifyPollWakeupOut.kh));
  /** An ioctl that makes a file's poll answer anew. */
  const change = (handle: number, file: FakeFile): Answer[] => {
    file.onIoctl = () => {
      file.onPollChange?.();
      return Errno.OK;
    };
    return kernel.handle(ioctl(handle, 1));
  };

  test('answers with what the file says', () => {
    const { fh } = kernel.openName('device');
    for (const mask of [0, Poll.HUP, READY]) {
      opened(0).mask = mask;
      expect(revents(kernel.call(poll(fh)))).toBe(mask);
    }
  });

  test('of a text, or of what nobody knows, is ready: the kernel must go on asking', () => {
    const { fh } = kernel.openName('text');
    for (const handle of [fh, FIRST_ID, FIRST_ID + 500]) {
      const answer = kernel.call(poll(handle));
      expect([answer.error, revents(answer)]).toEqual([0, READY]);
    }
  });

  test('of a file that another engine opened is a hang-up', () => {
    expect(revents(kernel.call(poll(FIRST_ID - 1)))).toBe(Poll.HUP);
  });

  test('who waits is woken before the call that caused it is answered, once', () => {
    const { fh } = kernel.openName('device');
    const kh = 0x1234_5678_9abc_def0n;
    kernel.call(poll(fh, kh, FUSE_POLL_SCHEDULE_NOTIFY));
    const answers = change(fh, opened(0));
    expect(answers.map(isNotification)).toEqual([true, false]);
    expect(notificationsOf(answers)).toEqual([kh]);
    expect(notificationsOf(change(fh, opened(0)))).toEqual([]);
    kernel.call(poll(fh, 7n, FUSE_POLL_SCHEDULE_NOTIFY));
    expect(notificationsOf(change(fh, opened(0)))).toEqual([7n]);
  });

  test('a change by another file, by RELEASE say, wakes too', () => {
    const a = kernel.openName('device');
    const b = kernel.openName('device');
    kernel.call(poll(a.fh, 3n, FUSE_POLL_SCHEDULE_NOTIFY));
    opened(1).release = () => opened(0).onPollChange?.();
    expect(kernel.handle(release(b.nodeid, b.fh)).map(isNotification)).toEqual([true, false]);
  });

  test('the last who asked is woken', () => {
    const { fh } = kernel.openName('device');
    for (const kh of [1n, 2n]) kernel.call(poll(fh, kh, FUSE_POLL_SCHEDULE_NOTIFY));
    kernel.call(poll(fh, 3n));
    expect(notificationsOf(change(fh, opened(0)))).toEqual([2n]);
  });

  test('who does not wait is not woken, nor whose file is closed', () => {
    const a = kernel.openName('device');
    kernel.call(poll(a.fh, 1n));
    expect(notificationsOf(change(a.fh, opened(0)))).toEqual([]);
    const b = kernel.openName('device');
    kernel.call(poll(b.fh, 2n, FUSE_POLL_SCHEDULE_NOTIFY));
    opened(1).release = () => opened(1).onPollChange?.();
    expect(kernel.handle(release(b.nodeid, b.fh)).map(isNotification)).toEqual([false]);
    expect(opened(1).onPollChange).toBeUndefined();
  });
});
