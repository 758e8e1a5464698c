import { functionAddress, systemCall } from './libc.js';
import { NativeBuffer } from './native-buffer.js';
import { setSignalHandler } from './signals.js';

const setitimer = systemCall<[which: number, value: number, old: number]>(
  'int setitimer(int which, uintptr_t value, uintptr_t old)',
);

const SIGALRM = 14;
const ITIMER_REAL = 0;
const TIMEVAL_USEC = 1_000_000;

const timer = new NativeBuffer(32); // struct itimerval: interval, then value, as seconds and microseconds

/*
 * A handler must exist for a signal to interrupt a system call, and must be C. abs(3) has the type of a handler and does
 * nothing; and without SA_RESTART the call it interrupts fails with EINTR.
 */
setSignalHandler(SIGALRM, functionAddress('abs'));

function set(intervalUs: number): void {
  for (const at of [0, 16]) {
    timer.setU64(at, Math.floor(intervalUs / TIMEVAL_USEC));
    timer.setU64(at + 8, intervalUs % TIMEVAL_USEC);
  }
  setitimer(ITIMER_REAL, timer.address, 0);
}

/** Interrupts blocking system calls of the main thread every `ms` milliseconds, until stopAlarm(). */
export const startAlarm = (ms: number): void => set(ms * 1000);

export const stopAlarm = (): void => set(0);
