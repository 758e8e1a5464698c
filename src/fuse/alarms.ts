import { Heap } from '../base/heap.js';
import type { Alarm, Clock } from '../device.js';

/** How many alarms that were cancelled may be kept beside as many others. */
const MAX_CANCELLED = 64;

const NOTHING = (): void => {};

class SetAlarm implements Alarm {
  readonly at: bigint;
  run: () => void;
  isOver = false;
  private readonly onCancel: () => void;

  constructor(at: bigint, run: () => void, onCancel: () => void) {
    this.at = at;
    this.run = run;
    this.onCancel = onCancel;
  }

  cancel(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.run = NOTHING; // what it held on to is let go
    this.onCancel();
  }
}

/** Everything that waits for its time. */
export class Alarms implements Clock {
  private heap = newHeap();
  private live = 0;
  private cancelled = 0;

  now(): bigint {
    return process.hrtime.bigint();
  }

  at(time: bigint, run: () => void): Alarm {
    const alarm = new SetAlarm(time, run, () => this.forget());
    this.heap.add(alarm);
    this.live++;
    return alarm;
  }

  private forget(): void {
    this.live--;
    if (++this.cancelled > this.live + MAX_CANCELLED) this.clean();
  }

  private clean(): void {
    const { heap } = this;
    this.heap = newHeap();
    this.cancelled = 0;
    for (let alarm = heap.least; alarm !== undefined; alarm = heap.least) {
      heap.removeLeast();
      if (!alarm.isOver) this.heap.add(alarm);
    }
  }

  /** When the next one is due; undefined without one. */
  get next(): bigint | undefined {
    for (let alarm = this.heap.least; alarm !== undefined; alarm = this.heap.least) {
      if (!alarm.isOver) return alarm.at;
      this.heap.removeLeast();
      this.cancelled--;
    }
    return undefined;
  }

  /** Runs those that are due. */
  ring(): void {
    if (this.next === undefined) return;
    const now = this.now();
    for (let next = this.next; next !== undefined && next <= now; next = this.next) {
      const alarm = this.heap.least as SetAlarm;
      this.heap.removeLeast();
      alarm.isOver = true;
      this.live--;
      alarm.run();
    }
  }
}

const newHeap = (): Heap<SetAlarm> => new Heap((a, b) => a.at < b.at);
