import { Errno } from '../../base/errno.js';
import { CONN_MAX_FDS_PER_USER, CONN_MAX_MSGS } from '../kdbus-abi.js';
import type { KdbusUser } from './kdbus-user.js';

const U32_MAX = 0xffff_ffff;

interface Usage {
  bytes: number;
  messages: number;
  fds: number;
}

const NOTHING: Readonly<Usage> = { bytes: 0, messages: 0, fds: 0 };

/**
 * What each user has queued in a receiver's pool and may queue there: half of the pool is shared out, and each user gets at most a
 * third of what the others have left of it.
 */
export class ReceiverQuota {
  /** Bytes that are queued, by everybody. */
  private queued = 0;
  private readonly half: number;
  private readonly usages = new Map<KdbusUser, Usage>();

  constructor(poolSize: number) {
    this.half = Math.floor(poolSize / 2);
  }

  /** Whether one more message of `size` bytes with so many descriptors fits: ENOBUFS, EMFILE. */
  check(user: KdbusUser, size: number, fds: number): Errno {
    const { bytes, messages, fds: present } = this.usages.get(user) ?? NOTHING;
    if (this.half < this.queued) return Errno.ENOBUFS;
    const share = Math.floor((this.half - this.queued + bytes) / 3);
    if (share - bytes < size || bytes + size > U32_MAX) return Errno.ENOBUFS;
    if (messages >= CONN_MAX_MSGS) return Errno.ENOBUFS;
    return present + fds > CONN_MAX_FDS_PER_USER ? Errno.EMFILE : Errno.OK;
  }

  charge(user: KdbusUser, size: number, fds: number): void {
    const { bytes, messages, fds: present } = this.usages.get(user) ?? NOTHING;
    this.usages.set(user, { bytes: bytes + size, messages: messages + 1, fds: present + fds });
    this.queued += size;
  }

  /** The message has left the queue. */
  release(user: KdbusUser, size: number, fds: number): void {
    const usage = this.usages.get(user);
    if (usage === undefined) return;
    this.queued -= size;
    if (usage.messages === 1) this.usages.delete(user);
    else this.usages.set(user, { bytes: usage.bytes - size, messages: usage.messages - 1, fds: usage.fds - fds });
  }
}
