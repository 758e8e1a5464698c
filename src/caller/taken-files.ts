import { readlinkSync } from 'node:fs';
import { Errno } from '../base/errno.js';
import type { HeldFiles } from '../device.js';
import { close } from '../linux/file.js';
import { pidfdGetfd, pidfdOpen } from '../linux/pidfd.js';
import { AF_UNIX, socketDomain } from '../linux/socket.js';
import type { Closer } from './closer.js';
import { inspect, isExhausted, isPath } from './descriptor.js';

const S_IFMT = 0o170000;
const S_IFSOCK = 0o140000;

/** Descriptors taken from a client, kept open in this process until the last holder releases them. */
export class TakenFiles implements HeldFiles {
  readonly descriptors: readonly number[];
  private holders = 1;
  private readonly closer: Closer;
  private readonly uid: number;

  /** They count for user `uid` until `closer` has closed them. */
  constructor(descriptors: readonly number[], closer: Closer, uid: number) {
    this.descriptors = descriptors;
    this.closer = closer;
    this.uid = uid;
    closer.accounts.charge(uid, descriptors.length);
  }

  get count(): number {
    return this.descriptors.length;
  }

  retain(): void {
    this.holders++;
  }

  release(): void {
    if (--this.holders > 0) return;
    this.closer.close(this.uid, this.descriptors);
    this.closer.accounts.charge(this.uid, -this.descriptors.length);
  }
}

/**
 * Takes copies of descriptors of thread `tid`, of user `uid`. Errors, in the order of the numbers: EBADF for one that is not
 * open; EOPNOTSUPP for a file of ours (`isOurs`), an AF_UNIX socket or an io_uring, which cannot be given to anybody, unless it
 * was opened with O_PATH; EDQUOT when this process can hold no more for the user, or too many of its wait to be closed.
 */
export function takeFiles(
  { tid, uid }: { readonly tid: number; readonly uid: number },
  numbers: readonly number[],
  closer: Closer,
  isOurs: (deviceMajor: number, deviceMinor: number, inode: number) => boolean,
): TakenFiles | Errno {
  if (!closer.mayHold(uid, numbers.length)) return Errno.EDQUOT;
  const pidfd = pidfdOpen(tid);
  if (pidfd < 0) return isExhausted(pidfd) ? Errno.EDQUOT : Errno.EBADF;
  const taken: number[] = [];
  let error: Errno = Errno.OK;
  for (const number of numbers) {
    error = takeOne(pidfd, number, taken, isOurs);
    if (error !== Errno.OK) break;
  }
  close(pidfd);
  const files = new TakenFiles(taken, closer, uid);
  if (error === Errno.OK) return files;
  files.release();
  return error;
}

function takeOne(
  pidfd: number,
  number: number,
  taken: number[],
  isOurs: (deviceMajor: number, deviceMinor: number, inode: number) => boolean,
): Errno {
  if (number < 0) return Errno.EBADF;
  const fd = pidfdGetfd(pidfd, number);
  if (fd < 0) return isExhausted(fd) ? Errno.EDQUOT : Errno.EBADF;
  const found = isPath(fd) ? undefined : inspect(fd);
  if (typeof found === 'object' && isOurs(found.deviceMajor, found.deviceMinor, found.inode)) {
    close(fd); // at once, so that a close by the client right after the call is the last one
    return Errno.EOPNOTSUPP;
  }
  taken.push(fd);
  if (found === undefined) return Errno.OK;
  if (typeof found === 'number') return Errno.EBADF;
  const isUnixSocket = (found.mode & S_IFMT) === S_IFSOCK && socketDomain(fd) === AF_UNIX;
  return isUnixSocket || isRing(fd, found.mode) ? Errno.EOPNOTSUPP : Errno.OK;
}

/** SCM_RIGHTS takes no io_uring: it could hold files, ours too, in a circle. An anonymous inode has no file type. */
const isRing = (fd: number, mode: number): boolean =>
  (mode & S_IFMT) === 0 && readlinkSync(`/proc/self/fd/${fd}`) === 'anon_inode:[io_uring]';
