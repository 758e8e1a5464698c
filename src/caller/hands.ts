import type { Logger } from 'pino';
import type { Accounts } from '../base/budget.js';
import { Errno } from '../base/errno.js';
import { CallRefused, Suspension } from '../device.js';
import { read } from '../linux/file.js';
import { NativeBuffer } from '../linux/native-buffer.js';
import { Syscall, SystemCallThread } from '../linux/system-call-thread.js';
import { startTicking } from '../linux/ticker.js';
import { ClientMemory } from './client-memory.js';

/**
 * How many ticks a hand is waited for, a tick being a millisecond. It is long beside a copy, and short beside what a client may
 * make it take: a page of its memory may be behind a file system that is slow, or hangs, or is its own.
 */
export const PATIENCE = 2;

/** What tells one operation of a call from its others. */
export type Step = string | number;

/** A thread that touches the memory of clients in place of the one that everybody waits for. */
export class Hand {
  readonly thread: SystemCallThread;
  readonly memory: ClientMemory;
  /** Whose call it is out for. */
  uid = 0;
  private suspension: Suspension | undefined;
  private step: Step = 0;
  /** The steps that are done of the call, and what their first two system calls returned. */
  private readonly steps: Step[] = [];
  private readonly results: number[] = [];
  private readonly bytes: Accounts;
  private borrowed = 0;
  private readonly onLate: (hand: Hand) => void;
  private readonly patience: number;

  constructor(thread: SystemCallThread, { bytes, patience }: HandsOptions, onLate: (hand: Hand) => void) {
    this.thread = thread;
    this.bytes = bytes;
    this.patience = patience;
    this.onLate = onLate;
    this.memory = new ClientMemory(this);
  }

  /**
   * Makes the system calls that are prepared. Throws a Suspension if that takes too long; then the call runs again when they are
   * done, and finds that they are.
   */
  run(count: number, step: Step): void {
    const { thread } = this;
    startTicking();
    thread.submit(count);
    for (let ticks = 0; !thread.wait(); ) {
      if (++ticks < this.patience || !thread.leave()) continue;
      this.step = step;
      this.suspension = new Suspension();
      this.onLate(this);
      throw this.suspension;
    }
    this.record(step);
  }

  private record(step: Step): void {
    this.steps.push(step);
    this.results.push(this.thread.result(0), this.thread.result(1));
  }

  hasDone(step: Step): boolean {
    return this.steps.includes(step);
  }

  /** What the first or second system call of a step that is done returned. */
  result(step: Step, index: 0 | 1): number {
    return this.results[2 * this.steps.lastIndexOf(step) + index] as number;
  }

  /** A step is to be done again. */
  forget(step: Step): void {
    const index = this.steps.lastIndexOf(step);
    if (index < 0) return;
    this.steps.splice(index, 1);
    this.results.splice(2 * index, 2);
  }

  /** Takes memory for the call, until it is over. False if its user may not have so much. */
  borrow(bytes: number): boolean {
    if (!this.bytes.fits(this.uid, bytes)) return false;
    this.bytes.charge(this.uid, bytes);
    this.borrowed += bytes;
    return true;
  }

  /** The call is over. */
  forgetAll(): void {
    this.steps.length = 0;
    this.results.length = 0;
    if (this.borrowed > 0) this.bytes.charge(this.uid, -this.borrowed);
    this.borrowed = 0;
  }

  /** It has come back; the call goes on. */
  resume(): void {
    const { suspension } = this;
    this.suspension = undefined;
    this.record(this.step);
    suspension?.end();
  }
}

export interface HandsOptions {
  /** An eventfd, inherited, with a number below those of everything that is closed in the hands' descriptor table. */
  readonly doneFd: number;
  /** What large payloads take that are on their way. */
  readonly bytes: Accounts;
  /** How many hands one user's calls may keep out. */
  readonly maxPerUser: number;
  /** How many ticks a hand is waited for. */
  readonly patience: number;
  /** Users whose memory is touched without one. */
  readonly trusted: ReadonlySet<number>;
  readonly log: Logger;
}

/** How many may be out in all: each is a thread of the system. */
const MAX_OUT = 1024;
const UNSHARE_FILES = 2; // CLOSE_RANGE_UNSHARE
const LAST_FD = 0xffff_ffff;

/**
 * The hands: as many as are out at once, and one at hand.
 *
 * No access to a client's memory is sure to end, whatever the page is: other threads of the client may hold the lock of its memory
 * as long as they like. So whoever may be hostile, or use a slow file system, is reached by a hand, which can be lost; users whom
 * the administrator trusts are reached directly, for the time that saves.
 */
export class Hands {
  private readonly options: HandsOptions;
  /** The way without a hand. */
  readonly direct = new ClientMemory(undefined);
  private readonly idle: Hand[] = [];
  private readonly out = new Set<Hand>();
  private readonly outByUid = new Map<number, number>();
  private readonly counter = new NativeBuffer(8);
  private readonly reported = new Set<number>();

  constructor(options: HandsOptions) {
    this.options = options;
  }

  /** The way to the memory of a user's threads, until release(). Throws a CallRefused if the user's calls keep too many hands out. */
  acquire(uid: number): ClientMemory {
    if (this.options.trusted.has(uid)) return this.direct;
    if ((this.outByUid.get(uid) ?? 0) >= this.options.maxPerUser || this.out.size >= MAX_OUT) this.refuse(uid);
    const hand = this.idle.pop() ?? this.start();
    hand.uid = uid;
    return hand.memory;
  }

  release(memory: ClientMemory): void {
    if (memory.hand !== undefined) this.idle.push(memory.hand);
  }

  private start(): Hand {
    const { doneFd } = this.options;
    const thread = SystemCallThread.start(doneFd);
    if (thread === undefined) throw new CallRefused(Errno.ENOMEM);
    const hand = new Hand(thread, this.options, (hand) => this.count(hand));
    // A thread that is stuck keeps its descriptors open, even when the process is killed: it gets a table of its own, with
    // nothing in it. What is above doneFd, where files of clients are, is never copied to it.
    thread.prepare(0, Syscall.CLOSE_RANGE, doneFd + 1, LAST_FD, UNSHARE_FILES);
    thread.prepare(1, Syscall.CLOSE_RANGE, 0, doneFd - 1, 0);
    thread.submit(2);
    while (!thread.wait());
    return hand;
  }

  private count(hand: Hand): void {
    this.out.add(hand);
    this.outByUid.set(hand.uid, (this.outByUid.get(hand.uid) ?? 0) + 1);
  }

  private refuse(uid: number): never {
    if (!this.reported.has(uid) && this.reported.size < MAX_OUT) {
      this.reported.add(uid);
      this.options.log.warn(
        { uid, maxHands: this.options.maxPerUser },
        'the memory of too many calls of this user does not arrive; its further calls are refused until it does; raise the number with --max-hands',
      );
    }
    throw new CallRefused(Errno.EBUSY);
  }

  /** Lets the calls go on whose hands have come back: doneFd can be read. */
  collect(): void {
    read(this.options.doneFd, this.counter.address, 8);
    for (const hand of this.out) {
      if (!hand.thread.isBack) continue;
      this.out.delete(hand);
      const left = (this.outByUid.get(hand.uid) ?? 0) - 1;
      if (left > 0) this.outByUid.set(hand.uid, left);
      else this.outByUid.delete(hand.uid);
      hand.resume();
    }
  }
}
