import { totalmem } from 'node:os';
import { Errno } from '../base/errno.js';
import { errnoOf } from '../caller/thread.js';
import type { UnsizedMemory } from '../kdbus/kdbus-file.js';
import { UnsizedMemory as Memfd, type SharedMemory } from '../linux/memory.js';

/** The memory of a kdbus pool, which errors are told of as errnos. */
export class KdbusMemory implements UnsizedMemory {
  private readonly memfd: Memfd;

  private constructor(memfd: Memfd) {
    this.memfd = memfd;
  }

  static create(): KdbusMemory | Errno {
    const memfd = Memfd.create('kdbus-pool');
    return typeof memfd === 'number' ? errnoOf(memfd) : new KdbusMemory(memfd);
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
  }

  release(): void {
    this.memfd.release();
  }
}
