import { bind } from './libc.js';

/** Asks whether thread `tid` belongs to process `tgid` (signal 0), 0 if so. */
export const tgkill = bind('int tgkill(int tgid, int tid, int signal)');
export const prctl = bind('int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)');

export const PR_SET_PDEATHSIG = 1;
