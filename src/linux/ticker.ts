import { functionAddress, systemCall } from './libc.js';
import { NativeBuffer } from './native-buffer.js';
import { setSignalHandler } from './signals.js';

const setitimer = systemCall<[which: number, value: number, old: number]>(
  'int setitimer(int which, uintptr_t value, uintptr_t old)',
);

const SIGALRM = 14;
const ITIMER_REAL = 0;
const TICK_US = 1000;

let timer: NativeBuffer | undefined; // struct itimerval: interval, then value, as seconds and microseconds
let isTicking = false;

/*
 * A handler must exist for a signal to interrupt a system call, and must be C. abs(3) has the type of a handler and does
 * nothing; and without SA_RESTART the call it interrupts fails with EINTR.
 */
function prepare(): NativeBuffer {
  setSignalHandler(SIGALRM, functionAddress('abs'));
  return new NativeBuffer(32);
}

function set(intervalUs: number): void {
  timer ??= prepare();
  timer.setU64(8, intervalUs);
  timer.setU64(24, intervalUs);
  setitimer(ITIMER_REAL, timer.address, 0);
}

/**
 * Interrupts blocking system calls of the main thread every millisecond, until stopTicking(). A timer that goes on costs less
 * than a timeout of each call: programming one takes as long as a copy.
 */
export function startTicking(): void {
  if (isTicking) return;
  isTicking = true;
  set(TICK_US);
}

export function stopTicking(): void {
  if (!isTicking) return;
  isTicking = false;
  set(0);
}
