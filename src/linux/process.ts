import { systemCall } from './libc.js';

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
