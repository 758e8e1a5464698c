import { close } from './file.js';
import { systemCall } from './libc.js';

const syscall = systemCall<[number: number, a: number, b: number, c: number]>(
  'long syscall(long number, long a, long b, long c)',
);

// The same on every architecture.
const SYS_PIDFD_OPEN = 434;
const SYS_PIDFD_GETFD = 438;
/** Refers to one thread and its own descriptor table, Linux 6.9. */
const PIDFD_THREAD = 0o200;

/** A descriptor that stands for thread `tid`, or a negative errno. */
export const pidfdOpen = (tid: number): number => syscall(SYS_PIDFD_OPEN, tid, PIDFD_THREAD, 0);

/** Duplicates descriptor `fd` of the thread `pidfd` stands for, close-on-exec, or a negative errno. */
export const pidfdGetfd = (pidfd: number, fd: number): number => syscall(SYS_PIDFD_GETFD, pidfd, fd, 0);

/** Duplicates one descriptor of thread `tid`, close-on-exec, or a negative errno. */
export function copyDescriptor(tid: number, fd: number): number {
  const pidfd = pidfdOpen(tid);
  if (pidfd < 0) return pidfd;
  const copy = pidfdGetfd(pidfd, fd);
  close(pidfd);
  return copy;
}
