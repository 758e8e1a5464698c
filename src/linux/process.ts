import { cFunction, systemCall } from './libc.js';

/** Sends a signal to thread `tid` of process `tgid`. */
export const tgkill = systemCall<[tgid: number, tid: number, signal: number]>(
  'int tgkill(int tgid, int tid, int signal)',
);
export const prctl = systemCall<[option: number, a: number, b: number, c: number, d: number]>(
  'int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)',
);

export const PR_SET_PDEATHSIG = 1;
export const PR_SET_DUMPABLE = 4;
export const PR_SET_NO_NEW_PRIVS = 38;

/**
 * Ends this process at once. Unlike process.exit() it does not wait for threads, of which one may be in a system call that
 * never returns.
 */
export const exitNow: (status: number) => never = cFunction<[status: number]>('void _exit(int status)') as never;

const closeRange = systemCall<[number: number, first: number, last: number, flags: number]>(
  'long syscall(long number, unsigned long first, unsigned long last, unsigned long flags)',
);

const SYS_CLOSE_RANGE = 436; // the same on every architecture
const CLOSE_RANGE_CLOEXEC = 4;
const FIRST_AFTER_STDERR = 3;

/** Keeps what this process inherited, beyond standard input, output and error, from the programs it starts. */
export const inheritNoDescriptors = (): number =>
  closeRange(SYS_CLOSE_RANGE, FIRST_AFTER_STDERR, 0xffff_ffff, CLOSE_RANGE_CLOEXEC);
