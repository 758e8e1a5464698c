import { constants } from 'node:os';

/*
 * How failure is told, in all of this tree.
 *
 * What a client, the system or a user may cause is a value, and whoever gets it must look at it:
 *
 * - In linux/, as system calls do it: a result that is not negative, or -errno.
 * - Above, a function that can fail returns an `Errno`, OK for success; or, if it has something to give, `T | Errno`, where T
 *   is never a number, so that `typeof result === 'number'` tells them apart.
 *
 * Exceptions are for two things. A defect of ours throws, and ends as EIO for the call it happened in, with a line in the log.
 * What the user of a command can do something about is an ExpectedError, which the command line shows as one line.
 */

/** Linux errno numbers that cross a room's door, as positive values; 0 means success. */
export const Errno = {
  OK: 0,
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOTTY: 25,
  ERANGE: 34,
  ENOSYS: 38,
  EXFULL: 54,
  EBADRQC: 56,
  EREMOTE: 66,
  ENOTUNIQ: 76,
  EMSGSIZE: 90,
  EOPNOTSUPP: 95,
  ESHUTDOWN: 108,
  ETIMEDOUT: 110,
  ESTALE: 116,
  EDQUOT: 122,
  ECANCELED: 125,
} as const;

export type Errno = (typeof Errno)[keyof typeof Errno];

const NAMES = new Map<number, string>(
  [...Object.entries(constants.errno), ...Object.entries(Errno)].map(([name, error]) => [error, name]),
);

/** The name of an error of the system, positive or negative: EPERM, say. */
export const errnoName = (error: number): string => NAMES.get(Math.abs(error)) ?? `errno ${Math.abs(error)}`;
