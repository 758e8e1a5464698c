import { readlinkSync } from 'node:fs';
import { Errno } from '../base/errno.js';
import type { Waitable } from '../device.js';
import { Epoll } from '../linux/epoll.js';
import { close } from '../linux/file.js';
import { pidfdGetfd, pidfdOpen } from '../linux/pidfd.js';
import { POLLIN, pollNow } from '../linux/poll.js';
import type { Closer } from './closer.js';
import { isExhausted, isPath } from './descriptor.js';
import { errnoOf } from './thread.js';

/**
 * Files whose poll is the kernel's own work. That of any other may be another program's, a FUSE server's say, which answers when it
 * likes; and an epoll descriptor may hold one of those.
 */
const LOCAL = /^(?:pipe|socket):|^anon_inode:(?!.*eventpoll)/;

let epoll: Epoll | undefined;

class TakenWaitable implements Waitable {
  readonly fd: number;
  private readonly closer: Closer;
  private readonly uid: number;

  constructor(fd: number, closer: Closer, uid: number) {
    this.fd = fd;
    this.closer = closer;
    this.uid = uid;
    closer.accounts.charge(uid, 1);
  }

  isReadable(): boolean {
    return (pollNow(this.fd, POLLIN) & POLLIN) !== 0;
  }

  close(): void {
    this.closer.close(this.uid, [this.fd]);
    this.closer.accounts.charge(this.uid, -1);
  }
}

/** See Caller.takeWaitable(). */
export function takeWaitable(
  { tid, uid }: { readonly tid: number; readonly uid: number },
  number: number,
  closer: Closer,
): Waitable | Errno {
  if (number < 0) return Errno.EBADF;
  if (!closer.accounts.fits(uid, 1) || closer.isStuck(uid)) return Errno.EMFILE;
  const pidfd = pidfdOpen(tid);
  if (pidfd < 0) return isExhausted(pidfd) ? errnoOf(pidfd) : Errno.EBADF;
  const fd = pidfdGetfd(pidfd, number);
  close(pidfd);
  if (fd < 0) return isExhausted(fd) ? errnoOf(fd) : Errno.EBADF;
  const error = isPath(fd) ? Errno.EBADF : checkWaitable(fd);
  if (error === Errno.OK) return new TakenWaitable(fd, closer, uid);
  closer.close(uid, [fd]);
  return error;
}

function checkWaitable(fd: number): Errno {
  if (!LOCAL.test(readlinkSync(`/proc/self/fd/${fd}`))) return Errno.EINVAL;
  epoll ??= new Epoll();
  if (epoll.add(fd, 0) < 0) return Errno.EINVAL;
  epoll.remove(fd);
  return Errno.OK;
}
