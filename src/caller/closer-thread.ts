import { closeSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { READ, slotOf, WRITE } from './closer-ring.js';

const ring = workerData as Int32Array;

for (;;) {
  const at = Atomics.load(ring, READ);
  if (at === Atomics.load(ring, WRITE)) {
    Atomics.wait(ring, WRITE, at);
    continue;
  }
  const fd = ring[slotOf(at)] as number;
  try {
    closeSync(fd);
  } catch {
    // the file had an error to report, and is closed all the same
  }
  Atomics.store(ring, READ, at + 1);
}
