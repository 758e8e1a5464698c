import { Worker } from 'node:worker_threads';
import { close } from '../linux/file.js';
import { FIRST_SLOT, READ, SLOTS, slotOf, WRITE } from './closer-ring.js';

/**
 * Closes descriptors that came from clients, on a thread of its own.
 *
 * close(2) can take as long as the file's owner likes: a FUSE file waits for its server, a socket with SO_LINGER for
 * its peer. The loop that serves everybody must not wait for that.
 */

let ring: Int32Array | undefined;

export function closeElsewhere(fd: number): void {
  ring ??= startThread();
  const at = Atomics.load(ring, WRITE);
  if (((at - Atomics.load(ring, READ)) | 0) >= SLOTS) {
    close(fd);
    return;
  }
  ring[slotOf(at)] = fd;
  Atomics.store(ring, WRITE, at + 1);
  Atomics.notify(ring, WRITE);
}

function startThread(): Int32Array {
  const shared = new Int32Array(new SharedArrayBuffer(4 * (FIRST_SLOT + SLOTS)));
  new Worker(new URL('./closer-thread.js', import.meta.url), { workerData: shared, trackUnmanagedFds: false }).unref();
  return shared;
}
