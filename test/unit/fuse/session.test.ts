import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Bytes } from '../../../src/base/bytes.js';
import { Errno } from '../../../src/base/errno.js';
import {
  FUSE_INIT_EXT,
  FUSE_IOCTL_COMPAT,
  FUSE_PASSTHROUGH_FLAGS2,
  FUSE_POLL_SCHEDULE_NOTIFY,
  INIT_OUT_SIZE,
  InHeader,
  InitIn,
  InitOut,
  IoctlOut,
  Opcode,
  OutHeader,
} from '../../../src/fuse/fuse-abi.js';
import {
  FakeDevice,
  FakeDirectory,
  type FakeFile,
  FakeText,
  FIRST_ID,
  getAttributes,
  ioctl,
  ioctlText,
  isNotification,
  Kernel,
  poll,
  request,
} from '../../support/kernel.js';

let device: FakeDevice;
let kernel: Kernel;

beforeEach(() => {
  device = new FakeDevice();
  kernel = new Kernel(new FakeDirectory({ device, text: new FakeText('') }));
});

afterEach(() => {
  kernel.close();
});

/** Opens the device. */
function open(): { readonly fh: number; readonly file: FakeFile } {
  const { fh } = kernel.openName('device');
  return { fh, file: device.files.at(-1) as FakeFile };
}

describe('INIT', () => {
  const init = (major: number, minor: number, size: number = InitIn.sizeof + 44) =>
    kernel.call(
      request(Opcode.INIT, {}, size, (bytes) => {
        bytes.setU32(InitIn.major, major);
        bytes.setU32(InitIn.minor, minor);
      }),
    );

  test('agrees on the older of two minor versions', () => {
    for (const [theirs, both] of [
      [31, 31],
      [40, 40],
      [45, 40],
    ] as const) {
      const { error, bytes } = init(7, theirs);
      expect([error, bytes.size]).toEqual([0, INIT_OUT_SIZE]);
      expect([bytes.u32(InitOut.major), bytes.u32(InitOut.minor)]).toEqual([7, both]);
    }
  });

  test('asks for passthrough, and that nothing is held back', () => {
    const { bytes } = init(7, 40);
    expect(bytes.u32(InitOut.flags)).toBe(FUSE_INIT_EXT);
    expect(bytes.u32(InitOut.flags2)).toBe(FUSE_PASSTHROUGH_FLAGS2);
    expect(bytes.u32(InitOut.max_stack_depth)).toBe(1);
    expect([bytes.u16(InitOut.max_background), bytes.u16(InitOut.congestion_threshold)]).toEqual([0xffff, 0xffff]);
    expect(bytes.u32(InitOut.max_write)).toBeGreaterThanOrEqual(4096);
  });

  test('of another major version is refused', () => {
    expect([init(6, 40).error, init(8, 0).error]).toEqual([Errno.EIO, Errno.EIO]);
  });
});

describe('requests', () => {
  test('that would change a directory are EPERM', () => {
    const { SYMLINK, MKNOD, MKDIR, UNLINK, RMDIR, RENAME, LINK, CREATE, RENAME2, TMPFILE } = Opcode;
    for (const opcode of [SYMLINK, MKNOD, MKDIR, UNLINK, RMDIR, RENAME, LINK, CREATE, RENAME2, TMPFILE]) {
      expect(kernel.call(request(opcode)).error).toBe(Errno.EPERM);
    }
  });

  test('that nobody knows are ENOSYS', () => {
    for (const opcode of [5, 7, 20, 25, 34, 37, 46, 1000])
      expect(kernel.call(request(opcode)).error).toBe(Errno.ENOSYS);
  });

  test('DESTROY is answered', () => {
    expect(kernel.call(request(Opcode.DESTROY))).toMatchObject({ error: 0 });
  });

  test('are answered in their order, with their own numbers, of all 64 bits', () => {
    const uniques = [2, 2 ** 32 + 4, 2 ** 53 - 2];
    const requests = uniques.map((unique) => request(Opcode.GETATTR, { nodeid: 1, unique }, InHeader.sizeof + 16));
    expect(kernel.handle(...requests).map(({ unique }) => unique)).toEqual(uniques);
  });

  test('are told to the pulse from their beginning to their end', () => {
    const { fh, file } = open();
    kernel.pulse.length = 0;
    file.onIoctl = () => {
      expect(kernel.pulse).toEqual([5]);
      return Errno.OK;
    };
    kernel.handle(ioctl(fh, 1, '', { pid: 5 }), getAttributes(1));
    expect(kernel.pulse).toEqual([5, 'end', 1000, 'end']);
  });
});

describe('IOCTL', () => {
  test('gives the file the command, the argument and who it is', () => {
    const { fh, file } = open();
    kernel.call(ioctl(fh, 0xc008_9600, 'abcd', { uid: 11, gid: 22, pid: 33 }));
    kernel.call(ioctl(fh, 5, 'efgh', { pid: 34 }, FUSE_IOCTL_COMPAT));
    expect(file.ioctls).toEqual([
      { command: 0xc008_9600, text: 'abcd', uid: 11, gid: 22, tid: 33, is32Bit: false },
      { command: 5, text: 'efgh', uid: 0, gid: 0, tid: 34, is32Bit: true },
    ]);
  });

  test('success brings the argument back, as the file left it', () => {
    const { fh, file } = open();
    file.onIoctl = (_, argument) => {
      argument.u8.set(Buffer.from('WXYZ'), 0);
      return Errno.OK;
    };
    const answer = kernel.call(ioctl(fh, 1, 'abcdefgh'));
    expect(answer.error).toBe(0);
    expect(ioctlText(answer)).toBe('WXYZefgh');
    const { bytes } = answer;
    expect([IoctlOut.result, IoctlOut.flags, IoctlOut.in_iovs, IoctlOut.out_iovs].map((at) => bytes.u32(at))).toEqual([
      0, 0, 0, 0,
    ]);
  });

  test('one without an argument is answered without one', () => {
    expect(kernel.call(ioctl(open().fh, 1)).bytes.size).toBe(IoctlOut.sizeof);
  });

  test('failure brings back an errno alone', () => {
    const { fh, file } = open();
    file.onIoctl = () => Errno.EDQUOT;
    const { error, bytes } = kernel.call(ioctl(fh, 1, 'abcd'));
    expect([error, bytes.size]).toEqual([Errno.EDQUOT, OutHeader.sizeof]);
  });

  test('on a text, or on what is not open, is ENOTTY; on what another engine opened ESHUTDOWN', () => {
    const errors = [kernel.openName('text').fh, FIRST_ID + 900, FIRST_ID - 1].map(
      (fh) => kernel.call(ioctl(fh, 1, 'abcd')).error,
    );
    expect(errors).toEqual([Errno.ENOTTY, Errno.ENOTTY, Errno.ESHUTDOWN]);
  });

  test('of a caller that is not visible here is EPERM, and so is its open; one line says why', () => {
    const { fh, file } = open();
    const nodeid = kernel.nodeOf('device');
    for (let i = 0; i < 2; i++) {
      expect(kernel.call(ioctl(fh, 1, '', { pid: 0 })).error).toBe(Errno.EPERM);
      expect(kernel.open(nodeid, { pid: 0 }).error).toBe(Errno.EPERM);
    }
    expect([file.ioctls, device.files.length]).toEqual([[], 1]);
    expect(kernel.lines).toMatchObject([{ level: 40, msg: expect.stringContaining('pid namespace of the host') }]);
  });

  test('one that throws is answered with EIO, and logged; the next is served', () => {
    const { fh, file } = open();
    file.onIoctl = () => {
      throw new Error('on purpose');
    };
    expect(kernel.call(ioctl(fh, 1)).error).toBe(Errno.EIO);
    expect(kernel.lines).toMatchObject([{ level: 50, err: { message: 'on purpose' }, opcode: Opcode.IOCTL }]);
    file.onIoctl = () => Errno.OK;
    expect(kernel.call(ioctl(fh, 1)).error).toBe(0);
    expect(kernel.pulse.at(-1)).toBe('end');
  });

  test('who was to be woken by one that throws is woken', () => {
    const { fh, file } = open();
    kernel.call(poll(fh, 1n, FUSE_POLL_SCHEDULE_NOTIFY));
    file.onIoctl = () => {
      file.onPollChange?.();
      throw new Error('on purpose');
    };
    expect(kernel.handle(ioctl(fh, 1)).map(isNotification).sort()).toEqual([false, true]);
  });

  test('other requests that throw are answered with EIO too', () => {
    device.onOpen = () => {
      throw new Error('on purpose');
    };
    expect(kernel.open(kernel.nodeOf('device')).error).toBe(Errno.EIO);
    const { fh, file } = open2();
    file.poll = () => {
      throw new Error('on purpose');
    };
    expect(kernel.call(poll(fh)).error).toBe(Errno.EIO);
    expect(kernel.lines).toHaveLength(2);
  });

  /** An open after all. */
  function open2(): ReturnType<typeof open> {
    device.onOpen = new FakeDevice().onOpen;
    return open();
  }
});

test('an argument of the greatest size comes and goes whole', () => {
  const { fh, file } = open();
  const long = 'x'.repeat(16 * 1024 - 1);
  let seen = '';
  file.onIoctl = (_, argument: Bytes) => {
    seen = argument.text(0, long.length);
    return Errno.OK;
  };
  expect(ioctlText(kernel.call(ioctl(fh, 1, long)))).toBe(long);
  expect(seen).toBe(long);
});
