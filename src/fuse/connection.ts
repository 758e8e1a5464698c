import { Errno, errnoName } from '../base/errno.js';
import { F_GETFL, F_SETFL, fcntl, ioctl, O_NONBLOCK, read, write } from '../linux/file.js';
import { NativeBuffer } from '../linux/native-buffer.js';
import {
  BackingMap,
  FUSE_DEV_IOC_BACKING_CLOSE,
  FUSE_DEV_IOC_BACKING_OPEN,
  FUSE_NOTIFY_POLL,
  FUSE_NOTIFY_RESEND,
  NotifyPollWakeupOut,
  OutHeader,
  READ_BUFFER,
} from './fuse-abi.js';

/** One poll handle, a `u64` of the kernel's, as two halves that need no arithmetic. */
export interface PollHandle {
  low: number;
  high: number;
}

/** The kernel's end of the mount: requests in, replies and notifications out, one after the other. */
export class Connection {
  readonly fd: number;
  /** Called when a signal has interrupted the waiting for a request. */
  onInterrupted: (() => void) | undefined;
  private readonly notification = new NativeBuffer(NotifyPollWakeupOut.sizeof);
  private readonly backing = new NativeBuffer(BackingMap.sizeof);

  /** `fd` is /dev/fuse, mounted. */
  constructor(fd: number) {
    this.fd = fd;
  }

  /**
   * Puts the next request into `buffer`, of READ_BUFFER bytes, and says so; waits for one unless the descriptor is in
   * non-blocking mode, where there may be none.
   */
  receive(buffer: NativeBuffer): 'request' | 'none' | 'unmounted' {
    for (;;) {
      const length = read(this.fd, buffer.address, READ_BUFFER);
      if (length > 0) return 'request';
      if (length === -Errno.EAGAIN) return 'none';
      if (length === -Errno.ENODEV || length === 0) return 'unmounted';
      // ENOENT: the request was interrupted before it could be read.
      if (length === -Errno.EINTR) this.onInterrupted?.();
      else if (length !== -Errno.ENOENT) {
        throw new Error(`reading /dev/fuse failed with ${errnoName(length)}`);
      }
    }
  }

  /** Whether receive() returns instead of waiting where there is no request. */
  setNonBlocking(isNonBlocking: boolean): void {
    const flags = fcntl(this.fd, F_GETFL, 0);
    fcntl(this.fd, F_SETFL, isNonBlocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
  }

  /** Sends `length` bytes, a complete reply or notification. ENOENT means nobody waits for it any more. */
  send(address: number, length: number): void {
    const error = -write(this.fd, address, length);
    if (error > 0 && error !== Errno.ENOENT && error !== Errno.ENODEV) {
      throw new Error(`the kernel refused a FUSE reply with ${errnoName(error)}`);
    }
  }

  /** Makes the kernel poll an open file again. */
  notifyPoll(handle: PollHandle): void {
    const out = this.notification;
    out.setU32(OutHeader.len, NotifyPollWakeupOut.sizeof);
    out.setI32(OutHeader.error, FUSE_NOTIFY_POLL);
    out.setU64(OutHeader.unique, 0);
    out.setU32(NotifyPollWakeupOut.kh, handle.low);
    out.setU32(NotifyPollWakeupOut.kh + 4, handle.high);
    this.send(out.address, NotifyPollWakeupOut.sizeof);
  }

  /** Has all requests sent again that were read, by this process or another, and not answered. */
  resend(): void {
    const out = this.notification;
    out.setU32(OutHeader.len, OutHeader.sizeof);
    out.setI32(OutHeader.error, FUSE_NOTIFY_RESEND);
    out.setU64(OutHeader.unique, 0);
    this.send(out.address, OutHeader.sizeof);
  }

  /** Registers a file whose pages the kernel maps instead of ours. Returns its backing id, or a negative errno. */
  openBacking(fd: number): number {
    this.backing.setI32(BackingMap.fd, fd);
    this.backing.setU32(BackingMap.flags, 0);
    this.backing.setU64(BackingMap.padding, 0);
    return ioctl(this.fd, FUSE_DEV_IOC_BACKING_OPEN, this.backing.address);
  }

  closeBacking(id: number): void {
    this.backing.setI32(BackingMap.fd, id);
    ioctl(this.fd, FUSE_DEV_IOC_BACKING_CLOSE, this.backing.address);
  }
}
