import { Heap, type HeapEntry } from '../base/heap.js';
import type { Alarm, Clock } from '../device.js';

interface SetAlarm extends HeapEntry, Alarm {
  readonly at: bigint;
  readonly run: () => void;
}

/** Everything that waits for its time. */
export class Alarms implements Clock {
  private readonly heap = new Heap<SetAlarm>((a, b) => a.at < b.at);

  now(): bigint {
    return process.hrtime.bigint();
  }

  at(time: bigint, run: () => void): Alarm {
    const alarm: SetAlarm = { at: time, run, heapIndex: -1, cancel: () => this.heap.remove(alarm) };
    this.heap.add(alarm);
    return alarm;
  }

  /** When the next one is due; undefined without one. */
  get next(): bigint | undefined {
    return this.heap.least?.at;
  }

  /** Runs those that are due. */
  ring(): void {
    if (this.next === undefined) return;
    const now = this.now();
    for (let alarm = this.heap.least; alarm !== undefined && alarm.at <= now; alarm = this.heap.least) {
      this.heap.remove(alarm);
      alarm.run();
    }
  }
}
