import type { Errno } from '../base/errno.js';
import { IdTable } from '../base/id-table.js';
import type { Alarm, Pending, PendingEnd, Suspension } from '../device.js';
import { Epoll } from '../linux/epoll.js';
import { POLLIN, pollNow } from '../linux/poll.js';
import { Alarms } from './alarms.js';
import type { Call } from './call.js';
import type { Connection } from './connection.js';
import type { Outbox } from './outbox.js';

type Interruptible = Pick<Call, 'unique' | 'isInterrupted'>;

interface Waiting {
  readonly call: Call;
  readonly pending: Pending;
  alarm: Alarm | undefined;
  isOver: boolean;
}

const REQUEST = 0;
/** No request has this number: they are even. */
const WAKER = 1;
const NS_PER_MS = 1_000_000n;

/** Tells by a descriptor that suspensions have ended, and ends them when asked. */
export interface Waker {
  readonly fd: number;
  /** Whether it must be waited for though no call is suspended. */
  readonly isNeeded: boolean;
  collect(): void;
}

/**
 * The ioctls that are answered later, and what may end them before their time. Only while there are some, waiting for a
 * request is more than reading it.
 */
export class PendingCalls {
  private readonly connection: Connection;
  private readonly outbox: Outbox;
  /** By the number of their request. */
  private readonly waiting = new IdTable<Waiting>();
  /** Those that wait for memory. */
  private readonly suspended = new IdTable<Interruptible>();
  private count = 0;
  private readonly alarms: Alarms;
  /** Runs what is left of a call, and answers it. */
  private readonly carryOn: (call: Call, rest: () => Errno | Pending) => void;
  private readonly waker: Waker;
  private readonly epoll = new Epoll();
  private isNonBlocking = false;

  constructor(
    connection: Connection,
    outbox: Outbox,
    waker: Waker,
    carryOn: (call: Call, rest: () => Errno | Pending) => void,
    alarms = new Alarms(),
  ) {
    this.connection = connection;
    this.outbox = outbox;
    this.waker = waker;
    this.carryOn = carryOn;
    this.alarms = alarms;
    this.epoll.add(connection.fd, REQUEST);
    this.epoll.add(waker.fd, WAKER);
  }

  /** Keeps a call until it is finished or has to end. */
  add(call: Call, pending: Pending): void {
    const waiting: Waiting = { call, pending, alarm: undefined, isOver: false };
    pending.argument = call.argument;
    pending.finish = (outcome) => this.finish(waiting, outcome);
    this.waiting.set(call.unique, waiting);
    this.count++;
    if (pending.deadline !== undefined) {
      waiting.alarm = this.alarms.at(pending.deadline, () => this.end(waiting, 'timeout'));
    }
    if (pending.cancelFd !== undefined && this.epoll.add(pending.cancelFd, call.unique, true) < 0) {
      this.end(waiting, 'cancelled'); // always ready, as poll(2) has it for files of such a kind
    }
    if (call.isInterrupted) this.end(waiting, 'interrupted');
  }

  /** Waits for the end of a suspension, and then runs the call again. */
  suspend(call: Interruptible, suspension: Suspension, run: () => void): void {
    this.suspended.set(call.unique, call);
    this.count++;
    suspension.resume = () => {
      this.suspended.delete(call.unique);
      this.count--;
      run();
    };
  }

  /** A signal came for the thread whose request has this number; nothing to do if it was answered already. */
  interrupt(unique: number): void {
    const waiting = this.waiting.get(unique);
    if (waiting !== undefined) return this.end(waiting, 'interrupted');
    const suspended = this.suspended.get(unique);
    if (suspended !== undefined) suspended.isInterrupted = true;
  }

  private end(waiting: Waiting, why: PendingEnd): void {
    if (!waiting.isOver) this.finish(waiting, waiting.pending.end(why));
  }

  private finish(waiting: Waiting, outcome: Errno | (() => Errno)): void {
    if (waiting.isOver) throw new Error('a call was finished twice');
    waiting.isOver = true;
    const { call, pending } = waiting;
    this.waiting.delete(call.unique);
    waiting.alarm?.cancel();
    this.count--;
    if (pending.cancelFd !== undefined) this.epoll.remove(pending.cancelFd);
    this.outbox.answer(() => this.carryOn(call, typeof outcome === 'number' ? () => outcome : outcome));
  }

  /** Waits, if any call does, until there may be a request to read, and ends the calls whose time is over meanwhile. */
  awaitRequest(): void {
    while (this.count > 0 || this.waker.isNeeded || this.alarms.next !== undefined) {
      this.setNonBlocking(true);
      const ready = this.epoll.wait(this.timeout());
      if (ready.length === 0) this.connection.onInterrupted?.();
      if (ready.includes(WAKER)) this.waker.collect();
      for (const unique of ready) {
        const waiting = this.waiting.get(unique);
        if (waiting !== undefined && isReadable(waiting.pending)) this.end(waiting, 'cancelled');
      }
      this.alarms.ring();
      this.outbox.flush();
      if (ready.includes(REQUEST)) return;
    }
    this.makeBlocking();
  }

  /** Until the next alarm, in ms, rounded up; -1 without one. */
  private timeout(): number {
    const { next } = this.alarms;
    if (next === undefined) return -1;
    const left = next - this.alarms.now();
    return left <= 0n ? 0 : Math.min(2 ** 31 - 1, Number((left + NS_PER_MS - 1n) / NS_PER_MS));
  }

  /** Makes reading wait for requests alone. */
  makeBlocking(): void {
    this.setNonBlocking(false);
  }

  /** A request that epoll saw may be gone when it is read; then a blocking read would sleep through a deadline. */
  private setNonBlocking(isNonBlocking: boolean): void {
    if (isNonBlocking === this.isNonBlocking) return;
    this.isNonBlocking = isNonBlocking;
    this.connection.setNonBlocking(isNonBlocking);
  }
}

/** Other conditions than that it can be read end no call, and are told by epoll(7) all the same: once, when they come. */
const isReadable = ({ cancelFd }: Pending): boolean =>
  cancelFd !== undefined && (pollNow(cancelFd, POLLIN) & POLLIN) !== 0;
