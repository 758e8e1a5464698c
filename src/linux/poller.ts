import { createEventfd } from './eventfd.js';
import { close, read, write } from './file.js';
import { blockingFunction } from './libc.js';
import { NativeBuffer } from './native-buffer.js';

const poll = blockingFunction<[fds: number, count: number, timeout: number]>(
  'int poll(uintptr_t fds, unsigned long count, int timeout)',
);

const POLLIN = 0x1;
const POLLHUP = 0x10;
const POLLFD_SIZE = 8;
const FOREVER = -1;

/** Calls back when descriptors can be read, those too that Node has no class for. */
export class Poller {
  private readonly wakeFd = createEventfd();
  private readonly counter = new NativeBuffer(8);
  private readonly handlers = new Map<number, (isHungUp: boolean) => void>();
  private isStopped = false;

  /** `handle` is called while there is something to read, or the other end has hung up. */
  watch(fd: number, handle: (isHungUp: boolean) => void): void {
    this.handlers.set(fd, handle);
    this.wake();
  }

  unwatch(fd: number): void {
    this.handlers.delete(fd);
    this.wake();
  }

  /** Makes run() return. */
  stop(): void {
    this.isStopped = true;
    this.wake();
  }

  private wake(): void {
    this.counter.setU64(0, 1);
    write(this.wakeFd, this.counter.address, 8);
  }

  /** Waits, on a thread of Node's pool, and calls back, until stop(). */
  async run(): Promise<void> {
    while (!this.isStopped) {
      const fds = [this.wakeFd, ...this.handlers.keys()];
      const set = new NativeBuffer(fds.length * POLLFD_SIZE);
      for (const [i, fd] of fds.entries()) {
        set.setI32(i * POLLFD_SIZE, fd);
        set.setU16(i * POLLFD_SIZE + 4, POLLIN);
      }
      await poll(set.address, fds.length, FOREVER);
      if (set.u16(6) !== 0) read(this.wakeFd, this.counter.address, 8);
      for (const [i, fd] of fds.entries()) {
        const events = set.u16(i * POLLFD_SIZE + 6);
        if (events !== 0) this.handlers.get(fd)?.((events & POLLHUP) !== 0);
      }
    }
    close(this.wakeFd);
  }
}
