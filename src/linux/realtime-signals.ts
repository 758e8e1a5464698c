import { Errno } from '../base/errno.js';
import { close, dup3, F_DUPFD_CLOEXEC, F_GETFD, fcntl, O_CLOEXEC, O_NONBLOCK, read } from './file.js';
import { functionAddress, systemCall } from './libc.js';
import { NativeBuffer } from './native-buffer.js';
import type { Poller } from './poller.js';
import { SA_RESTART, SA_SIGINFO, SIGRTMAX, setSignalHandler } from './signals.js';

const pipe2 = systemCall<[fds: number, flags: number]>('int pipe2(uintptr_t fds, int flags)');

/** 32 and 33, and with musl 34, are the C library's own; it refuses handlers for them. */
const SIGRTMIN = 34;
const RECORD_SIZE = 8;

/**
 * Watches the real-time signals, which Node has no names for. `onSignal` is called once for each that arrives.
 *
 * A handler must be C, and of a kind that may run at any moment. eventfd_write(3) is: called with the number of the signal
 * and the address of its siginfo, it writes that address, eight bytes, to the descriptor of that number. So each signal
 * gets a pipe whose writing end has its number. A signal whose number is somebody else's descriptor keeps its default (a
 * shell's process substitution has 63).
 */
export function watchRealtimeSignals(poller: Poller, onSignal: (signal: number) => void): void {
  const handler = functionAddress('eventfd_write');
  const records = new NativeBuffer(64 * RECORD_SIZE);
  for (let signal = SIGRTMIN; signal <= SIGRTMAX; signal++) {
    if (fcntl(signal, F_GETFD, 0) !== -Errno.EBADF) continue;
    const [reader, writer] = pipeAbove(SIGRTMAX);
    const isWatched =
      dup3(writer, signal, O_CLOEXEC) >= 0 && setSignalHandler(signal, handler, SA_SIGINFO | SA_RESTART) === 0;
    close(writer);
    if (!isWatched) continue;
    poller.watch(reader, () => {
      const length = read(reader, records.address, records.size);
      for (let at = 0; at < length; at += RECORD_SIZE) onSignal(signal);
    });
  }
}

/** A pipe that nobody waits for, with both its descriptors above a number. */
function pipeAbove(number: number): readonly [reader: number, writer: number] {
  const ends = new NativeBuffer(8);
  pipe2(ends.address, O_CLOEXEC | O_NONBLOCK);
  const move = (fd: number): number => {
    const moved = fcntl(fd, F_DUPFD_CLOEXEC, number + 1);
    close(fd);
    return moved;
  };
  return [move(ends.i32(0)), move(ends.i32(4))];
}
