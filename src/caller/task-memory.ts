import type { Errno } from '../base/errno.js';
import { close, O_CLOEXEC, O_RDWR, open, pread, pwrite } from '../linux/file.js';
import type { NativeBuffer } from '../linux/native-buffer.js';
import { errnoOf } from './thread.js';

/** The memory of a thread as it was when this was opened, whatever program the thread runs by the time it is touched. */
export class TaskMemory {
  private readonly fd: number;

  private constructor(fd: number) {
    this.fd = fd;
  }

  /** That of thread `tid`, whose call must not have been answered yet. */
  static open(tid: number): TaskMemory | Errno {
    const fd = open(`/proc/${tid}/mem`, O_RDWR | O_CLOEXEC, 0);
    return fd < 0 ? errnoOf(fd) : new TaskMemory(fd);
  }

  /** Copies the first `size` bytes at `address` to a buffer. False if they are not all readable. */
  read(buffer: NativeBuffer, address: number, size: number): boolean {
    return pread(this.fd, buffer.address, size, address) === size;
  }

  /** Copies the first `size` bytes of a buffer to `address`. False if they are not all there to be written to. */
  write(buffer: NativeBuffer, address: number, size: number): boolean {
    return this.writeFrom(buffer.address, address, size);
  }

  /** Copies `size` bytes at `source`, in this process, to `address`. */
  writeFrom(source: number, address: number, size: number): boolean {
    return pwrite(this.fd, source, size, address) === size;
  }

  close(): void {
    close(this.fd);
  }
}
