import { totalmem } from 'node:os';
import type { Accounts } from '../base/budget.js';
import { Errno } from '../base/errno.js';
import { errnoOf } from '../caller/thread.js';
import type { UnsizedMemory } from '../kdbus/kdbus-file.js';
import { UnsizedMemory as Memfd, type SharedMemory } from '../linux/memory.js';

/** The memory of a kdbus pool, which errors are told of as errnos. */
export class KdbusMemory implements UnsizedMemory {
  private readonly memfd: Memfd;
  private readonly uid: number;
  private readonly accounts: Accounts;
  private isCharged = true;

  private constructor(memfd: Memfd, uid: number, accounts: Accounts) {
    this.memfd = memfd;
    this.uid = uid;
    this.accounts = accounts;
    accounts.charge(uid, 1);
  }

  /** Its descriptor counts for user `uid`, as long as it is open. */
  static create(uid: number, accounts: Accounts): KdbusMemory | Errno {
    if (!accounts.fits(uid, 1)) return Errno.EMFILE;
    const memfd = Memfd.create('kdbus-pool');
    return typeof memfd === 'number' ? errnoOf(memfd) : new KdbusMemory(memfd, uid, accounts);
  }

  get fd(): number {
    return this.memfd.fd;
  }

  closeFd(): void {
    // it is needed until the pool has its size
  }

  /** As much as the machine has, at most: nothing more could be received. */
  grow(size: number): SharedMemory | Errno {
    if (size > totalmem()) return Errno.ENOMEM;
    const memory = this.memfd.grow(size);
    return typeof memory === 'number' ? errnoOf(memory) : memory;
  }

  settle(): void {
    this.memfd.settle();
    this.discharge();
  }

  release(): void {
    this.memfd.release();
    this.discharge();
  }

  private discharge(): void {
    if (this.isCharged) this.accounts.charge(this.uid, -1);
    this.isCharged = false;
  }
}
