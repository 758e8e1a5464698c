import { systemCall } from './libc.js';

/** File descriptor calls for hot or unusual paths; for the rest there is node:fs. */
export const read = systemCall<[fd: number, buffer: number, count: number]>(
  'int64_t read(int fd, uintptr_t buffer, size_t count)',
);
export const write = systemCall<[fd: number, buffer: number, count: number]>(
  'int64_t write(int fd, uintptr_t buffer, size_t count)',
);
export const pread = systemCall<[fd: number, buffer: number, count: number, offset: number]>(
  'int64_t pread(int fd, uintptr_t buffer, size_t count, int64_t offset)',
);
export const pwrite = systemCall<[fd: number, buffer: number, count: number, offset: number]>(
  'int64_t pwrite(int fd, uintptr_t buffer, size_t count, int64_t offset)',
);
export const open = systemCall<[path: string, flags: number, mode: number]>(
  'int open(const char *path, int flags, unsigned int mode)',
);
export const close = systemCall<[fd: number]>('int close(int fd)');
export const ioctl = systemCall<[fd: number, request: number, argument: number]>(
  'int ioctl(int fd, unsigned long request, uintptr_t argument)',
);
export const fcntl = systemCall<[fd: number, command: number, argument: number]>(
  'int fcntl(int fd, int command, unsigned long argument)',
);
export const dup3 = systemCall<[from: number, to: number, flags: number]>('int dup3(int from, int to, int flags)');
/** `buffer` takes a `struct statx` (see Statx). */
export const statx = systemCall<[dirfd: number, path: string, flags: number, mask: number, buffer: number]>(
  'int statx(int dirfd, const char *path, int flags, unsigned int mask, uintptr_t buffer)',
);

export const O_RDWR = 2;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;

export const F_GETFD = 1;
export const F_SETFD = 2;
export const F_GETFL = 3;
export const F_SETFL = 4;
export const F_DUPFD_CLOEXEC = 1030;

export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_EMPTY_PATH = 0x1000;
export const AT_STATX_DONT_SYNC = 0x4000;

export const STATX_MODE = 0x2;
export const STATX_INO = 0x100;
export const STATX_SIZE = 0x200;

/** `struct statx`, linux/stat.h. */
export const Statx = { sizeof: 256, mode: 28, ino: 32, size: 40, devMajor: 136, devMinor: 140 } as const;
