import { systemCall } from './libc.js';
import { NativeBuffer } from './native-buffer.js';

const poll = systemCall<[fds: number, count: number, timeout: number]>(
  'int poll(uintptr_t fds, unsigned long count, int timeout)',
);

export const POLLIN = 0x1;

/** `struct pollfd`. */
const Pollfd = { fd: 0, events: 4, revents: 6, size: 8 } as const;

/** Which of `events`, or of the errors that are always reported, a descriptor has now; or a negative errno. */
export function pollNow(fd: number, events: number): number {
  const entry = new NativeBuffer(Pollfd.size);
  entry.setI32(Pollfd.fd, fd);
  entry.setU16(Pollfd.events, events);
  const result = poll(entry.address, 1, 0);
  return result < 0 ? result : entry.u16(Pollfd.revents);
}
