import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Bytes } from '../../../src/base/bytes.js';
import { Errno } from '../../../src/base/errno.js';
import {
  AttrOut,
  BatchForgetIn,
  Dirent,
  EntryOut,
  FATTR_GID,
  FATTR_MODE,
  FATTR_SIZE,
  FATTR_TIMES,
  FATTR_UID,
  ForgetIn,
  ForgetOne,
  FUSE_ROOT_ID,
  InHeader,
  Opcode,
  OpenOut,
  OutHeader,
  SetattrIn,
  STATFS_OUT_SIZE,
  StatfsOut,
} from '../../../src/fuse/fuse-abi.js';
import {
  type Answer,
  attributesOf,
  FakeDevice,
  FakeDirectory,
  FakeText,
  FIRST_ID,
  getAttributes,
  Kernel,
  lookUp,
  read,
  request,
  STAT_TID,
} from '../../support/kernel.js';

const [S_IFDIR, S_IFCHR, S_IFREG] = [0o040000, 0o020000, 0o100000];
const FOREVER = 1_000_000;

let device: FakeDevice;
let text: FakeText;
let root: FakeDirectory;
let kernel: Kernel;

beforeEach(() => {
  device = new FakeDevice();
  text = new FakeText('hello');
  root = new FakeDirectory({ device, text, sub: new FakeDirectory({ inner: new FakeText('') }) });
  kernel = new Kernel(root);
});

afterEach(() => {
  kernel.close();
  expect(kernel.lines).toEqual([]);
});

const validityOf = ({ bytes }: Answer): number => bytes.u64(EntryOut.attr_valid);

describe('LOOKUP', () => {
  test('of a device by an open gives a new inode each time, which looks like a file as large as its memory', () => {
    const [first, second] = [kernel.lookUp('device'), kernel.lookUp('device')];
    const ids = [first, second].map(({ bytes }) => bytes.u64(EntryOut.nodeid));
    expect(ids).toEqual([FIRST_ID, FIRST_ID + 1]);
    expect(attributesOf(first)).toMatchObject({
      ino: FIRST_ID,
      mode: S_IFREG | 0o666,
      size: 0x2000_0000,
      uid: 3,
      gid: 4,
      nlink: 1,
      rdev: 0,
    });
    expect(validityOf(first)).toBe(FOREVER);
  });

  test('of a device by stat(2) gives one and the same, which looks like a device', () => {
    const [first, second] = [1, 2].map(() => kernel.lookUp('device', { pid: STAT_TID })) as [Answer, Answer];
    expect(second.bytes.u64(EntryOut.nodeid)).toBe(first.bytes.u64(EntryOut.nodeid));
    expect(attributesOf(first)).toMatchObject({ mode: S_IFCHR | 0o666, size: 0, rdev: (10 << 8) | 58 });
  });

  test('a device number is packed as the kernel has it', () => {
    device.rdev = { major: 0x123, minor: 0x45678 };
    expect(attributesOf(kernel.lookUp('device', { pid: STAT_TID })).rdev).toBe(0x45612378);
  });

  test('of anything else gives one and the same, whoever asks', () => {
    for (const name of ['text', 'sub']) expect(kernel.nodeOf(name)).toBe(kernel.nodeOf(name, { pid: STAT_TID }));
    expect(attributesOf(kernel.lookUp('text'))).toMatchObject({ mode: S_IFREG | 0o400, uid: 1, gid: 2, size: 0 });
    expect(attributesOf(kernel.lookUp('sub'))).toMatchObject({ mode: S_IFDIR | 0o755 });
  });

  test('goes through directories', () => {
    const inner = kernel.nodeOf('inner', { nodeid: kernel.nodeOf('sub') });
    expect(attributesOf(kernel.call(getAttributes(inner))).ino).toBe(inner);
  });

  test.each([
    ['an unknown name', 'nonsense', undefined],
    ['the beginning of one', 'devic', undefined],
    ['a longer one', 'device2', undefined],
    ['nothing', '', undefined],
    ['a name in what is no directory', 'device', 'text'],
  ])('of %s is ENOENT', (_, name, parent) => {
    const header = parent === undefined ? {} : { nodeid: kernel.nodeOf(parent) };
    const { error, bytes } = kernel.lookUp(name, header);
    expect([error, bytes.size]).toEqual([Errno.ENOENT, OutHeader.sizeof]);
  });

  test('in a directory that nobody knows is ENOENT', () => {
    expect(kernel.lookUp('device', { nodeid: 12345 }).error).toBe(Errno.ENOENT);
  });

  test('the kernel asks again for attributes that change', () => {
    text.isVolatile = true;
    expect(validityOf(kernel.lookUp('text'))).toBe(0);
    text.mode = 0o644;
    expect(attributesOf(kernel.lookUp('text')).mode).toBe(S_IFREG | 0o644);
  });
});

describe('FORGET', () => {
  const forget = (nodeid: number, count: number): Bytes =>
    request(Opcode.FORGET, { nodeid }, ForgetIn.sizeof, (bytes) => bytes.setU64(ForgetIn.nlookup, count));
  const isKnown = (nodeid: number): boolean => {
    const { error } = kernel.call(getAttributes(nodeid));
    if (error !== 0) expect(error).toBe(Errno.ESTALE);
    return error === 0;
  };

  test('is not answered', () => {
    expect(
      kernel.handle(forget(kernel.nodeOf('text'), 1), request(Opcode.BATCH_FORGET, {}, BatchForgetIn.sizeof)),
    ).toEqual([]);
  });

  test('an inode is known as long as it was looked up more often than it was forgotten', () => {
    const id = kernel.nodeOf('text');
    for (let i = 0; i < 3; i++) kernel.nodeOf('text');
    kernel.handle(forget(id, 3));
    expect(isKnown(id)).toBe(true);
    kernel.handle(forget(id, 1));
    expect(isKnown(id)).toBe(false);
    expect(kernel.open(id).error).toBe(Errno.ESTALE);
  });

  test('a node that is looked up again has the number it had', () => {
    const id = kernel.nodeOf('text');
    kernel.handle(forget(id, 1));
    expect(kernel.nodeOf('text')).toBe(id);
    expect(isKnown(id)).toBe(true);
  });

  test('of many at once', () => {
    const ids = [kernel.nodeOf('device'), kernel.nodeOf('device'), kernel.nodeOf('text'), kernel.nodeOf('sub')];
    for (let i = 0; i < 5; i++) kernel.nodeOf('text');
    const forgets = [
      [ids[0], 1],
      [ids[2], 4],
      [ids[3], 1], // which is beyond those that count
    ] as const;
    const batch = (count: number): Bytes =>
      request(Opcode.BATCH_FORGET, {}, BatchForgetIn.sizeof + forgets.length * ForgetOne.sizeof, (bytes) => {
        bytes.setU32(BatchForgetIn.count, count);
        for (const [i, [id = 0, times]] of forgets.entries()) {
          bytes.setU64(BatchForgetIn.sizeof + i * ForgetOne.sizeof + ForgetOne.nodeid, id);
          bytes.setU64(BatchForgetIn.sizeof + i * ForgetOne.sizeof + ForgetOne.nlookup, times);
        }
      });
    expect(kernel.handle(batch(2))).toEqual([]);
    expect(ids.map(isKnown)).toEqual([false, true, true, true]);
    kernel.handle(batch(2));
    expect(ids.map(isKnown)).toEqual([false, true, false, true]);
  });

  test('the root is never forgotten, and what is not known cannot be', () => {
    kernel.nodeOf('text');
    kernel.handle(forget(FUSE_ROOT_ID, 0), forget(99999, 5));
    expect(isKnown(FUSE_ROOT_ID)).toBe(true);
  });
});

describe('GETATTR', () => {
  test('of the root', () => {
    root.mode = 0o750;
    const answer = kernel.call(getAttributes(FUSE_ROOT_ID));
    expect(attributesOf(answer)).toMatchObject({ ino: FUSE_ROOT_ID, mode: S_IFDIR | 0o750, uid: 0, gid: 0 });
  });

  test('the kernel keeps attributes for ever, but for those that change', () => {
    const id = kernel.nodeOf('text');
    const validity = (): number => kernel.call(getAttributes(id)).bytes.u64(AttrOut.attr_valid);
    expect(validity()).toBe(FOREVER);
    text.isVolatile = true;
    expect(validity()).toBe(0);
  });

  test('all times are that of the start', () => {
    const { atime, mtime, ctime, blksize } = attributesOf(kernel.call(getAttributes(FUSE_ROOT_ID)));
    expect([mtime, ctime, blksize]).toEqual([atime, atime, 4096]);
    const now = Date.now() / 1000;
    expect(atime).toBeLessThanOrEqual(now);
    expect(atime).toBeGreaterThan(now - 3600);
  });

  test('of an inode made for an open, and of the one for stat(2), as LOOKUP told them', () => {
    for (const header of [{}, { pid: STAT_TID }]) {
      const entry = kernel.lookUp('device', header);
      const answer = kernel.call(getAttributes(entry.bytes.u64(EntryOut.nodeid)));
      expect(attributesOf(answer)).toEqual(attributesOf(entry));
    }
  });

  test('of what another engine made is ESTALE', () => {
    expect(kernel.call(getAttributes(FIRST_ID - 1)).error).toBe(Errno.ESTALE);
  });
});

describe('SETATTR', () => {
  const set = (fields: Partial<Record<keyof typeof SetattrIn, number>>, name = 'text'): number => {
    const bytes = request(Opcode.SETATTR, { nodeid: kernel.nodeOf(name) }, SetattrIn.sizeof, (out) => {
      const { size = 0, ...small } = fields;
      for (const [field, value] of Object.entries(small)) out.setU32(SetattrIn[field as keyof typeof SetattrIn], value);
      out.setU64(SetattrIn.size, size);
    });
    return kernel.call(bytes).error;
  };

  test('what changes nothing succeeds', () => {
    expect(set({ valid: FATTR_TIMES })).toBe(0);
    expect(set({ valid: FATTR_SIZE, size: 0 })).toBe(0);
    expect(set({ valid: FATTR_MODE, mode: S_IFREG | 0o400 })).toBe(0);
    expect(set({ valid: FATTR_UID | FATTR_GID, uid: 1, gid: 2 })).toBe(0);
    // fields that are not said to be valid say nothing
    expect(set({ valid: 0, mode: 0o777, uid: 9, gid: 9, size: 1 })).toBe(0);
  });

  test('what would change something does not', () => {
    expect(set({ valid: FATTR_MODE, mode: 0o401 })).toBe(Errno.EPERM);
    expect(set({ valid: FATTR_MODE, mode: 0o4400 })).toBe(Errno.EPERM);
    expect(set({ valid: FATTR_UID, uid: 0 })).toBe(Errno.EPERM);
    expect(set({ valid: FATTR_GID, gid: 0 })).toBe(Errno.EPERM);
    expect(set({ valid: FATTR_SIZE, size: 1 })).toBe(Errno.EINVAL);
    expect(set({ valid: FATTR_SIZE, size: 2 ** 32 })).toBe(Errno.EINVAL);
    expect(set({ valid: 1 << 20 })).toBe(Errno.EPERM);
  });

  test('answers with the attributes', () => {
    const nodeid = kernel.nodeOf('device');
    const answer = kernel.call(request(Opcode.SETATTR, { nodeid }, SetattrIn.sizeof));
    expect(attributesOf(answer)).toEqual(attributesOf(kernel.call(getAttributes(nodeid))));
  });

  test('of what nobody knows is ESTALE', () => {
    expect(kernel.call(request(Opcode.SETATTR, { nodeid: 5 }, SetattrIn.sizeof)).error).toBe(Errno.ESTALE);
  });
});

interface Entry {
  readonly name: string;
  readonly ino: number;
  readonly type: number;
  readonly next: number;
}

function entriesOf({ bytes, error }: Answer): Entry[] {
  expect(error).toBe(0);
  const entries: Entry[] = [];
  for (let at = OutHeader.sizeof; at < bytes.size; ) {
    const length = bytes.u32(at + Dirent.namelen);
    entries.push({
      name: bytes.text(at + Dirent.sizeof, at + Dirent.sizeof + length),
      ino: bytes.u64(at + Dirent.ino),
      type: bytes.u32(at + Dirent.type),
      next: bytes.u64(at + Dirent.off),
    });
    at += Math.ceil((Dirent.sizeof + length) / 8) * 8;
  }
  return entries;
}

describe('READDIR', () => {
  const openDirectory = (nodeid = FUSE_ROOT_ID): number => {
    const { error, bytes } = kernel.call(request(Opcode.OPENDIR, { nodeid }, InHeader.sizeof + 8));
    expect(error).toBe(0);
    return bytes.u64(OpenOut.fh);
  };
  const list = (fh: number, offset = 0, size = 4096): Entry[] =>
    entriesOf(kernel.call(read(Opcode.READDIR, fh, offset, size)));

  test('tells names, types, and the numbers that stat(2) shows', () => {
    const entries = list(openDirectory());
    expect(entries.map(({ name, type, next }) => [name, type, next])).toEqual([
      ['device', 2, 1],
      ['text', 8, 2],
      ['sub', 4, 3],
    ]);
    for (const { name, ino } of entries) {
      expect(attributesOf(kernel.lookUp(name, { pid: STAT_TID })).ino).toBe(ino);
    }
    expect(new Set(entries.map(({ ino }) => ino)).size).toBe(3);
  });

  test('goes on from any offset, and ends with nothing', () => {
    const fh = openDirectory();
    expect(list(fh, 1).map(({ name }) => name)).toEqual(['text', 'sub']);
    expect(list(fh, 0).map(({ name }) => name)).toEqual(['device', 'text', 'sub']);
    expect(list(fh, 3)).toEqual([]);
    expect(list(fh, 2 ** 40)).toEqual([]);
  });

  test('gives as many entries as fit, each of them once', () => {
    const fh = openDirectory();
    expect(list(fh, 0, 31)).toEqual([]);
    expect(list(fh, 0, 32)).toHaveLength(1);
    expect(list(fh, 0, 63)).toHaveLength(1);
    expect(list(fh, 0, 64)).toHaveLength(2);
    for (let size = 32; size <= 128; size += 8) {
      const names: string[] = [];
      for (let offset = 0; ; ) {
        const entries = list(fh, offset, size);
        const last = entries.at(-1);
        if (last === undefined) break;
        names.push(...entries.map(({ name }) => name));
        offset = last.next;
      }
      expect(names).toEqual(['device', 'text', 'sub']);
    }
  });

  test('shows what was there when the directory was opened', () => {
    const fh = openDirectory();
    root.nodes.delete('device');
    root.nodes.set('new', new FakeText(''));
    expect(list(fh, 1).map(({ name }) => name)).toEqual(['text', 'sub']);
    expect(list(openDirectory()).map(({ name }) => name)).toEqual(['text', 'sub', 'new']);
  });

  test('names of all lengths and kinds', () => {
    root.nodes.clear();
    const names = Array.from({ length: 255 }, (_, i) => 'x'.repeat(i + 1));
    for (const name of [...names, 'grüße', '名前', ' ', '\n']) root.nodes.set(name, new FakeText(''));
    expect(list(openDirectory(), 0, 1 << 17).map(({ name }) => name)).toEqual([...root.nodes.keys()]);
  });

  test('more entries than a reply can hold', () => {
    for (let i = 0; i < 6000; i++) root.nodes.set(`name-${i}`, text);
    const fh = openDirectory();
    const first = list(fh, 0, 2 ** 31);
    expect(first.length).toBeLessThan(6000);
    expect(first.length + list(fh, first.length, 2 ** 31).length).toBe(6003);
  });

  test('of a directory below the root', () => {
    expect(list(openDirectory(kernel.nodeOf('sub'))).map(({ name }) => name)).toEqual(['inner']);
  });

  test('after RELEASEDIR there is nothing', () => {
    const fh = openDirectory();
    expect(
      kernel.call(request(Opcode.RELEASEDIR, {}, InHeader.sizeof + 24, (bytes) => bytes.setU64(InHeader.sizeof, fh))),
    ).toMatchObject({ error: 0 });
    expect(list(fh)).toEqual([]);
  });

  test('OPENDIR of what is no directory is ENOTDIR, of what nobody knows ESTALE', () => {
    const open = (nodeid: number): number =>
      kernel.call(request(Opcode.OPENDIR, { nodeid }, InHeader.sizeof + 8)).error;
    expect([open(kernel.nodeOf('text')), open(kernel.nodeOf('device')), open(77)]).toEqual([
      Errno.ENOTDIR,
      Errno.ENOTDIR,
      Errno.ESTALE,
    ]);
  });
});

test('STATFS tells of no blocks, but of their size', () => {
  const { error, bytes } = kernel.call(request(Opcode.STATFS));
  expect([error, bytes.size]).toEqual([0, STATFS_OUT_SIZE]);
  const fields = [StatfsOut.bsize, StatfsOut.frsize, StatfsOut.namelen].map((at) => bytes.u32(at));
  expect(fields).toEqual([4096, 4096, 255]);
  expect([StatfsOut.blocks, StatfsOut.files].map((at) => bytes.u64(at))).toEqual([0, 0]);
});

test('a name is looked up as the bytes it is', () => {
  root.nodes.set('grüße', text);
  expect(kernel.call(lookUp('grüße')).error).toBe(0);
});
