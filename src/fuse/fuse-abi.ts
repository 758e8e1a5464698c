import { struct } from '../base/struct.js';

/** Names, numbers and layouts of include/uapi/linux/fuse.h, protocol 7.40, as far as a device tree needs them. */

export const FUSE_KERNEL_VERSION = 7;
export const FUSE_KERNEL_MINOR_VERSION = 40;
export const FUSE_ROOT_ID = 1;

export const Opcode = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  CREATE: 35,
  INTERRUPT: 36,
  DESTROY: 38,
  IOCTL: 39,
  POLL: 40,
  BATCH_FORGET: 42,
  RENAME2: 45,
  TMPFILE: 51,
} as const;

export const InHeader = struct({
  len: 'u32',
  opcode: 'u32',
  unique: 'u64',
  nodeid: 'u64',
  uid: 'u32',
  gid: 'u32',
  pid: 'u32',
  total_extlen: 'u16',
  padding: 'u16',
});
export const OutHeader = struct({ len: 'u32', error: 'i32', unique: 'u64' });

const IN = InHeader.sizeof;
const OUT = OutHeader.sizeof;

/** Request bodies; offsets count from the start of the request. */
export const InitIn = struct({ major: 'u32', minor: 'u32', max_readahead: 'u32', flags: 'u32', flags2: 'u32' }, IN);
export const SetattrIn = struct(
  {
    valid: 'u32',
    padding: 'u32',
    fh: 'u64',
    size: 'u64',
    lock_owner: 'u64',
    atime: 'u64',
    mtime: 'u64',
    ctime: 'u64',
    atimensec: 'u32',
    mtimensec: 'u32',
    ctimensec: 'u32',
    mode: 'u32',
    unused4: 'u32',
    uid: 'u32',
    gid: 'u32',
  },
  IN,
);
export const ForgetIn = struct({ nlookup: 'u64' }, IN);
export const BatchForgetIn = struct({ count: 'u32', dummy: 'u32' }, IN);
/** `struct fuse_forget_one`, from its own start. */
export const ForgetOne = struct({ nodeid: 'u64', nlookup: 'u64' });
export const InterruptIn = struct({ unique: 'u64' }, IN);
export const ReadIn = struct({ fh: 'u64', offset: 'u64', size: 'u32' }, IN);
export const ReleaseIn = struct({ fh: 'u64' }, IN);
export const IoctlIn = struct({ fh: 'u64', flags: 'u32', cmd: 'u32', arg: 'u64', in_size: 'u32', out_size: 'u32' }, IN);
export const PollIn = struct({ fh: 'u64', kh: 'u64', flags: 'u32', events: 'u32' }, IN);

const ATTR = {
  ino: 'u64',
  size: 'u64',
  blocks: 'u64',
  atime: 'u64',
  mtime: 'u64',
  ctime: 'u64',
  atimensec: 'u32',
  mtimensec: 'u32',
  ctimensec: 'u32',
  mode: 'u32',
  nlink: 'u32',
  uid: 'u32',
  gid: 'u32',
  rdev: 'u32',
  blksize: 'u32',
  flags: 'u32',
} as const;

/** Reply bodies; offsets count from the start of the reply. */
export const InitOut = struct(
  {
    major: 'u32',
    minor: 'u32',
    max_readahead: 'u32',
    flags: 'u32',
    max_background: 'u16',
    congestion_threshold: 'u16',
    max_write: 'u32',
    time_gran: 'u32',
    max_pages: 'u16',
    map_alignment: 'u16',
    flags2: 'u32',
    max_stack_depth: 'u32',
  },
  OUT,
);
/** With the reserved fields at its end. */
export const INIT_OUT_SIZE = OUT + 64;
export const EntryOut = struct(
  {
    nodeid: 'u64',
    generation: 'u64',
    entry_valid: 'u64',
    attr_valid: 'u64',
    entry_valid_nsec: 'u32',
    attr_valid_nsec: 'u32',
  },
  OUT,
);
export const AttrOut = struct({ attr_valid: 'u64', attr_valid_nsec: 'u32', dummy: 'u32' }, OUT);
/** `struct fuse_attr`, from its own start. */
export const Attr = struct(ATTR);
export const OpenOut = struct({ fh: 'u64', open_flags: 'u32', backing_id: 'i32' }, OUT);
export const IoctlOut = struct({ result: 'i32', flags: 'u32', in_iovs: 'u32', out_iovs: 'u32' }, OUT);
export const PollOut = struct({ revents: 'u32', padding: 'u32' }, OUT);
export const NotifyPollWakeupOut = struct({ kh: 'u64' }, OUT);
/** `struct fuse_dirent` without its name, from its own start; each entry is padded to 8 bytes. */
export const Dirent = struct({ ino: 'u64', off: 'u64', namelen: 'u32', type: 'u32' });
/** `struct fuse_kstatfs`, without the spare fields at its end. */
export const StatfsOut = struct(
  {
    blocks: 'u64',
    bfree: 'u64',
    bavail: 'u64',
    files: 'u64',
    ffree: 'u64',
    bsize: 'u32',
    namelen: 'u32',
    frsize: 'u32',
  },
  OUT,
);
export const STATFS_OUT_SIZE = OUT + 80;

export const FATTR_MODE = 1 << 0;
export const FATTR_UID = 1 << 1;
export const FATTR_GID = 1 << 2;
export const FATTR_SIZE = 1 << 3;
/** The setattr bits that only say when: atime, mtime, their "now" forms, ctime; and the file handle and lock owner that come along. */
export const FATTR_TIMES = (1 << 4) | (1 << 5) | (1 << 6) | (1 << 7) | (1 << 8) | (1 << 9) | (1 << 10);

export const FUSE_INIT_EXT = 1 << 30;
/** FUSE_PASSTHROUGH, bit 37 of the flags, as a bit of flags2. */
export const FUSE_PASSTHROUGH_FLAGS2 = 1 << 5;
/** FUSE_HAS_RESEND, bit 39, likewise. */
export const FUSE_HAS_RESEND_FLAGS2 = 1 << 7;

export const FOPEN_DIRECT_IO = 1 << 0;
/** close(2) neither asks us nor takes the lock of the inode, which a client that waits for us may hold. */
export const FOPEN_NOFLUSH = 1 << 5;
export const FOPEN_PASSTHROUGH = 1 << 7;

export const FUSE_IOCTL_COMPAT = 1 << 0;
export const FUSE_POLL_SCHEDULE_NOTIFY = 1 << 0;
export const FUSE_NOTIFY_POLL = 1;
/** Makes the kernel send again what was read and not answered. */
export const FUSE_NOTIFY_RESEND = 7;

export const MAX_WRITE = 4096;
/** Large enough for every request: an ioctl argument has at most 16 KiB. */
export const READ_BUFFER = 64 * 1024;

/** `struct fuse_backing_map` and the two ioctls on /dev/fuse that take and drop a backing file. */
export const BackingMap = struct({ fd: 'i32', flags: 'u32', padding: 'u64' });
export const FUSE_DEV_IOC_BACKING_OPEN = 0x4010e501;
export const FUSE_DEV_IOC_BACKING_CLOSE = 0x4004e502;
