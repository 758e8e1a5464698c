import { systemCall } from './libc.js';

const eventfd = systemCall<[initial: number, flags: number]>('int eventfd(unsigned int initial, int flags)');

const EFD_CLOEXEC = 0o2000000;

/** A counter that can be waited for, at 0, or a negative errno. */
export const createEventfd = (): number => eventfd(0, EFD_CLOEXEC);
