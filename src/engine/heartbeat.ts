import { SharedMemory } from '../linux/memory.js';

/** Words of memory shared between a process that works and one that watches it. */
const BEATS = 0;
const TID = 1;
const ARMED = 2;
const WORDS = 3;
const SIZE = 4096;

/** What the watched process tells: how many times it began or ended a piece of work (modulo 2^32), and for which thread the last was. */
export interface Beat {
  readonly beats: number;
  readonly tid: number;
  /** Whether it is at work; idle otherwise. */
  readonly isBusy: boolean;
}

/** The pulse of a process. One side makes it and watches; the other opens its descriptor and beats. */
export class Heartbeat {
  private readonly words: Uint32Array;
  private readonly memory: SharedMemory;
  /** Called on the side that works, before the first work after the other side's arm(). */
  onAlarm: (() => void) | undefined;

  private constructor(memory: SharedMemory) {
    this.memory = memory;
    this.words = memory.words(WORDS);
  }

  /** Undefined if the system is out of memory or descriptors. */
  static create(): Heartbeat | undefined {
    const memory = SharedMemory.create('bus1fs-heartbeat', SIZE);
    return typeof memory === 'number' ? undefined : new Heartbeat(memory);
  }

  /** The other side's, by an inherited descriptor. */
  static open(fd: number): Heartbeat | undefined {
    const memory = SharedMemory.map(fd, SIZE);
    return typeof memory === 'number' ? undefined : new Heartbeat(memory);
  }

  get fd(): number {
    return this.memory.fd;
  }

  /** The other side has its own. */
  closeFd(): void {
    this.memory.closeFd();
  }

  /** Work for thread `tid` begins. */
  begin(tid: number): void {
    this.words[TID] = tid;
    this.words[BEATS] = (this.words[BEATS] as number) + 1;
    if (this.words[ARMED] === 0) return;
    this.words[ARMED] = 0;
    this.onAlarm?.();
  }

  end(): void {
    this.words[BEATS] = (this.words[BEATS] as number) + 1;
  }

  /** Asks to be told when work begins again. */
  arm(): void {
    Atomics.store(this.words, ARMED, 1);
  }

  read(): Beat {
    const beats = Atomics.load(this.words, BEATS);
    return { beats, tid: Atomics.load(this.words, TID), isBusy: beats % 2 === 1 };
  }
}
