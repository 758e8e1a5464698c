import { errnoName } from '../base/errno.js';
import { close } from './file.js';
import { systemCall } from './libc.js';
import { NativeBuffer } from './native-buffer.js';

const epollCreate1 = systemCall<[flags: number]>('int epoll_create1(int flags)');
const epollCtl = systemCall<[epfd: number, operation: number, fd: number, event: number]>(
  'int epoll_ctl(int epfd, int operation, int fd, uintptr_t event)',
);
const epollWait = systemCall<[epfd: number, events: number, count: number, timeout: number]>(
  'int epoll_wait(int epfd, uintptr_t events, int count, int timeout)',
);

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLIN = 0x1;
/** `struct epoll_event` is packed on x86-64 alone. */
const EVENT_SIZE = process.arch === 'x64' ? 12 : 16;
const DATA = EVENT_SIZE - 8;
const EVENTS = 16;

/** Descriptors that are waited for together, each with a number of its own to be told by. */
export class Epoll {
  private readonly fd: number;
  private readonly events = new NativeBuffer(EVENT_SIZE * EVENTS);

  constructor() {
    this.fd = epollCreate1(EPOLL_CLOEXEC);
    if (this.fd < 0) throw new Error(`epoll_create1 failed with ${errnoName(this.fd)}`);
  }

  /** Returns 0 or a negative errno: EPERM for a file that cannot be waited for. */
  add(fd: number, data: number): number {
    this.events.setU32(0, EPOLLIN);
    this.events.setU64(DATA, data);
    return epollCtl(this.fd, EPOLL_CTL_ADD, fd, this.events.address);
  }

  remove(fd: number): void {
    epollCtl(this.fd, EPOLL_CTL_DEL, fd, this.events.address);
  }

  /** Waits at most `timeout` ms (-1: without end) and returns the numbers of some that are readable. */
  wait(timeout: number): readonly number[] {
    const count = epollWait(this.fd, this.events.address, EVENTS, timeout);
    return Array.from({ length: Math.max(0, count) }, (_, i) => this.events.u64(i * EVENT_SIZE + DATA));
  }

  close(): void {
    close(this.fd);
  }
}
