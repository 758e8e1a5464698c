import koffi from 'koffi';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Bytes } from '../../../src/base/bytes.js';
import { Errno } from '../../../src/base/errno.js';
import { CallRefused, Suspension } from '../../../src/device.js';
import {
  Attr,
  AttrOut,
  FUSE_HAS_RESEND_FLAGS2,
  FUSE_INIT_EXT,
  FUSE_IOCTL_COMPAT,
  FUSE_PASSTHROUGH_FLAGS2,
  FUSE_POLL_SCHEDULE_NOTIFY,
  INIT_OUT_SIZE,
  InHeader,
  InitIn,
  InitOut,
  InterruptIn,
  IoctlOut,
  Opcode,
  OutHeader,
} from '../../../src/fuse/fuse-abi.js';
import {
  type Answer,
  DEVICE_NUMBER,
  type FakeCaller,
  FakeDevice,
  FakeDirectory,
  type FakeFile,
  FakePending,
  FakeText,
  FIRST_ID,
  getAttributes,
  type Ioctl,
  ioctl,
  ioctlText,
  isNotification,
  Kernel,
  lookUp,
  poll,
  read,
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
    expect(bytes.u32(InitOut.flags2)).toBe(FUSE_PASSTHROUGH_FLAGS2 | FUSE_HAS_RESEND_FLAGS2);
    expect(bytes.u32(InitOut.max_stack_depth)).toBe(1);
    expect([bytes.u16(InitOut.max_background), bytes.u16(InitOut.congestion_threshold)]).toEqual([0xffff, 0xffff]);
    expect(bytes.u32(InitOut.max_write)).toBeGreaterThanOrEqual(4096);
    expect(bytes.u32(InitOut.time_gran)).toBe(1);
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
    const { fh } = open();
    for (const make of [
      (unique: number) => request(Opcode.GETATTR, { nodeid: 1, unique }, InHeader.sizeof + 16),
      (unique: number) => ioctl(fh, 1, '', { unique }),
    ]) {
      expect(kernel.handle(...uniques.map(make)).map(({ unique }) => unique)).toEqual(uniques);
    }
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
    expect(file.ioctls).toMatchObject([
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

/** Who made the first call on a file. */
const callerOf = ({ ioctls }: FakeFile): FakeCaller => (ioctls[0] as Ioctl).caller;

describe('what a caller needs of its call', () => {
  test('is where the argument is, and where it goes', () => {
    const { fh, file } = open();
    kernel.call(ioctl(fh, 1, 'abcdef'));
    const { channel } = callerOf(file);
    expect([channel.argumentSize, channel.argumentTarget]).toEqual([6, 0x7000_0000_1000]);
    file.onIoctl = (_, argument) => {
      expect(Number(koffi.address(argument.u8))).toBe(channel.argumentAddress);
      return Errno.OK;
    };
    kernel.call(ioctl(fh, 1, 'abcdef'));
  });

  test('is an answer that it gives itself, after which there is no other', () => {
    const { fh, file } = open();
    for (const result of [Errno.OK, Errno.EMFILE]) {
      file.onIoctl = (_, __, { channel }) => {
        channel.answer();
        return result;
      };
      const answers = kernel.handle(ioctl(fh, 1, 'abcd'));
      expect(answers.map(({ error }) => error)).toEqual([0]);
      expect(ioctlText(answers[0] as Answer)).toBe('abcd');
    }
    file.onIoctl = (_, __, { channel }) => {
      channel.answer();
      throw new Error('on purpose');
    };
    expect(kernel.handle(ioctl(fh, 1)).map(({ error }) => error)).toEqual([0]);
  });

  test('is that those who were woken know before', () => {
    const { fh, file } = open();
    kernel.call(poll(fh, 1n, FUSE_POLL_SCHEDULE_NOTIFY));
    file.onIoctl = (_, __, { channel }) => {
      file.onPollChange?.();
      channel.answer();
      return Errno.OK;
    };
    expect(kernel.handle(ioctl(fh, 1)).map(isNotification)).toEqual([true, false]);
    kernel.call(poll(fh, 2n, FUSE_POLL_SCHEDULE_NOTIFY));
    file.onIoctl = (_, __, { channel }) => {
      channel.answer();
      file.onPollChange?.();
      channel.flush();
      return Errno.OK;
    };
    expect(kernel.handle(ioctl(fh, 1)).map(isNotification)).toEqual([false, true]);
  });

  test('is which files are open on an inode of this mount', () => {
    const { nodeid, fh } = kernel.openName('device');
    const file = device.files[0] as FakeFile;
    kernel.call(ioctl(fh, 1));
    const { channel } = callerOf(file);
    const { major, minor } = DEVICE_NUMBER;
    expect([...(channel.filesOf(major, minor, nodeid) ?? [])]).toEqual([file]);
    expect(channel.filesOf(major + 1, minor, nodeid)).toBeUndefined();
    expect(channel.filesOf(major, minor + 1, nodeid)).toBeUndefined();
    expect(channel.filesOf(major, minor, nodeid + 1)).toBeUndefined();
    kernel.open(nodeid);
    expect([...(channel.filesOf(major, minor, nodeid) ?? [])]).toEqual(device.files);
    const other = kernel.nodeOf('device');
    expect(channel.filesOf(major, minor, other)).toBeUndefined(); // known, and not open
  });
});

describe('a call that is suspended', () => {
  /** Has the next ioctl suspended; afterwards it does what `then` says. */
  function suspend(file: FakeFile, then: FakeFile['onIoctl'] = () => Errno.OK): Suspension {
    const suspension = new Suspension();
    file.onIoctl = () => {
      file.onIoctl = then;
      throw suspension;
    };
    return suspension;
  }
  /** What is answered once that for which it was suspended is there. */
  function goOn(suspension: Suspension): Answer[] {
    kernel.endSuspension(suspension);
    return kernel.handle(getAttributes(1)).filter(({ bytes }) => bytes.size !== ATTRIBUTES_REPLY);
  }
  const ATTRIBUTES_REPLY = AttrOut.sizeof + Attr.sizeof;

  test('is not answered, and holds up nobody; then it runs again from its start', () => {
    const { fh, file } = open();
    const suspension = suspend(file, (_, argument) => {
      argument.u8.set(Buffer.from('WXYZ'), 0);
      return Errno.OK;
    });
    const call = ioctl(fh, 7, 'abcdef', { uid: 1, gid: 2, pid: 3 }, FUSE_IOCTL_COMPAT);
    expect(kernel.handle(call)).toEqual([]);
    file.onIoctl = () => Errno.OK;
    expect(ioctlText(kernel.call(ioctl(fh, 1, 'another, much longer')))).toBe('another, much longer');
    file.onIoctl = (_, argument) => {
      argument.u8.set(Buffer.from('WXYZ'), 0);
      return Errno.OK;
    };
    const [answer] = goOn(suspension);
    expect(answer).toMatchObject({ unique: call.u64(InHeader.unique), error: 0 });
    expect(ioctlText(answer as Answer)).toBe('WXYZef');
    expect([file.ioctls[0], file.ioctls[2]]).toMatchObject(
      Array(2).fill({ command: 7, text: 'abcd', uid: 1, gid: 2, tid: 3, is32Bit: true }),
    );
  });

  test('may fail, throw, be refused, or be suspended again', () => {
    const { fh, file } = open();
    const outcomes: readonly (readonly [FakeFile['onIoctl'], Errno])[] = [
      [() => Errno.EFAULT, Errno.EFAULT],
      [
        () => {
          throw new Error('on purpose');
        },
        Errno.EIO,
      ],
      [
        () => {
          throw new CallRefused(Errno.EBUSY);
        },
        Errno.EBUSY,
      ],
    ];
    for (const [then, errno] of outcomes) {
      const suspension = suspend(file, then);
      kernel.handle(ioctl(fh, 1, 'abcd'));
      expect(goOn(suspension).map(({ error }) => error)).toEqual([errno]);
    }
    expect(kernel.lines).toHaveLength(1);
    const first = suspend(file);
    kernel.handle(ioctl(fh, 1, 'abcd'));
    const second = suspend(file);
    expect(goOn(first)).toEqual([]);
    expect(goOn(second).map(ioctlText)).toEqual(['abcd']);
  });

  test('may wait then', () => {
    const { fh, file } = open();
    const pending = new FakePending();
    const suspension = suspend(file, () => pending);
    kernel.handle(ioctl(fh, 1, 'abcd'));
    expect(goOn(suspension)).toEqual([]);
    file.onIoctl = () => {
      pending.argument?.u8.set(Buffer.from('D'), 3);
      pending.finish?.(Errno.OK);
      return Errno.OK;
    };
    expect(ioctlText(kernel.handle(ioctl(fh, 2))[0] as Answer)).toBe('abcD');
  });

  test('gives up what it kept before it runs again, and its caller when it is answered', () => {
    const { fh, file } = open();
    const order: string[] = [];
    const suspension = suspend(file, () => {
      order.push('again');
      return Errno.OK;
    });
    suspension.keep(() => order.push('freed'));
    kernel.handle(ioctl(fh, 1));
    const caller = callerOf(file);
    expect([order, caller.ends]).toEqual([[], 0]);
    goOn(suspension);
    expect([order, caller.ends]).toEqual([['freed', 'again'], 1]);
  });

  test('is told to the pulse when it runs', () => {
    const { fh, file } = open();
    const suspension = suspend(file);
    kernel.handle(ioctl(fh, 1, '', { pid: 55 }));
    kernel.pulse.length = 0;
    goOn(suspension);
    expect(kernel.pulse.slice(0, 2)).toEqual([55, 'end']);
  });

  test('wakes whom it has to wake, before it is answered', () => {
    const { fh, file } = open();
    kernel.call(poll(fh, 1n, FUSE_POLL_SCHEDULE_NOTIFY));
    const suspension = suspend(file, () => {
      file.onPollChange?.();
      return Errno.OK;
    });
    kernel.handle(ioctl(fh, 1));
    expect(goOn(suspension).map(isNotification)).toEqual([true, false]);
  });

  test('is one of many, which go on in any order', () => {
    const { fh, file } = open();
    const suspensions = Array.from({ length: 20 }, (_, i) => {
      const suspension = suspend(file);
      kernel.handle(ioctl(fh, 1, `${i}`));
      return suspension;
    });
    for (const i of [7, 0, 19, 3]) {
      expect(goOn(suspensions[i] as Suspension).map(ioctlText)).toEqual([`${i}`]);
    }
    for (const [i, suspension] of suspensions.entries())
      if (![7, 0, 19, 3].includes(i)) kernel.endSuspension(suspension);
    expect(kernel.handle(getAttributes(1))).toHaveLength(17);
  });

  test('a signal does not end it', () => {
    const { fh, file } = open();
    const suspension = suspend(file);
    const call = ioctl(fh, 1);
    const interrupt = request(Opcode.INTERRUPT, {}, InterruptIn.sizeof, (bytes) =>
      bytes.setU64(InterruptIn.unique, call.u64(InHeader.unique)),
    );
    expect(kernel.handle(call, interrupt)).toEqual([]);
    expect(goOn(suspension)).toHaveLength(1);
  });
});

test('one that is refused is answered with what it is refused for', () => {
  const { fh, file } = open();
  file.onIoctl = () => {
    throw new CallRefused(Errno.EBUSY);
  };
  expect(kernel.call(ioctl(fh, 1)).error).toBe(Errno.EBUSY);
  expect(kernel.lines).toEqual([]);
});

test('no reply holds anything of another', () => {
  const tree = () => new FakeDirectory({ device: new FakeDevice(), text: new FakeText('\u00ff'.repeat(60_000)) });
  const requests: readonly ((on: Kernel) => Bytes)[] = [
    () => lookUp('text', { unique: 2 }),
    () => request(Opcode.GETATTR, { unique: 4 }, InHeader.sizeof + 16),
    () => request(Opcode.OPENDIR, { unique: 6 }, InHeader.sizeof + 8),
    () => request(Opcode.STATFS, { unique: 8 }),
    (on) => request(Opcode.OPEN, { unique: 10, nodeid: on.nodeOf('text') }, InHeader.sizeof + 8),
    () => poll(FIRST_ID + 900),
    () => request(Opcode.INIT, { unique: 12 }, InitIn.sizeof, (bytes) => bytes.setU32(InitIn.major, 7)),
  ];
  /** The replies of a session, each after its buffer was filled, or not, with something else. */
  const replies = (isDirty: boolean): Buffer[] => {
    const on = new Kernel(tree());
    const { fh } = on.openName('text');
    const all = requests.map((make) => {
      const each = make(on);
      each.setU64(InHeader.unique, 2);
      on.call(read(Opcode.READ, fh, isDirty ? 0 : 2 ** 40, 100_000));
      return Buffer.from(on.call(each).bytes.u8);
    });
    on.close();
    return all;
  };
  expect(replies(true)).toEqual(replies(false));
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
