import { bind } from './libc.js';

/** File descriptor calls for hot or unusual paths; for the rest there is node:fs. All return -1 on failure, see errno(). */
export const read = bind('int64_t read(int fd, uintptr_t buffer, size_t count)');
export const write = bind('int64_t write(int fd, uintptr_t buffer, size_t count)');
export const open = bind('int open(const char *path, int flags, unsigned int mode)');
export const close = bind('int close(int fd)');
export const ioctl = bind('int ioctl(int fd, unsigned long request, uintptr_t argument)');
export const fcntl = bind('int fcntl(int fd, int command, unsigned long argument)');
export const statx = bind('int statx(int dirfd, const char *path, int flags, unsigned int mask, uintptr_t buffer)') as (
  dirfd: number,
  path: string,
  flags: number,
  mask: number,
  buffer: number,
) => number;

export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;

export const F_GETFL = 3;

export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_EMPTY_PATH = 0x1000;
export const AT_STATX_DONT_SYNC = 0x4000;

export const STATX_MODE = 0x2;
export const STATX_INO = 0x100;

/** `struct statx`, linux/stat.h. */
export const Statx = { size: 256, mode: 28, ino: 32, devMajor: 136, devMinor: 140 } as const;
