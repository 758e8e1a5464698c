import type { Errno } from '../../base/errno.js';
import type { Alarm, Clock } from '../../device.js';
import type { KdbusConnection } from './kdbus-connection.js';
import type { Delivered } from './message-queue.js';
import type { ClaimedName } from './name-claim.js';

/** How a sync call ends: with its answer, which is in the waiter's pool, or without. */
export type CallOutcome = Delivered | Errno;

/** A sync call that waits. */
export interface SyncWait {
  answered(outcome: CallOutcome): void;
}

/** A reply that is awaited. */
export class Tracker {
  readonly waiter: KdbusConnection;
  replier: KdbusConnection;
  readonly cookie: bigint;
  /** CLOCK_MONOTONIC, in nanoseconds. */
  readonly deadline: bigint;
  readonly isSync: boolean;
  /** The name the request was sent to, if it was. */
  readonly name: ClaimedName<KdbusConnection> | undefined;
  /** Whether a reply may still come. */
  isLive = true;
  /** Whether the request is still queued. */
  isRequestQueued = true;
  /** Of a sync call; undefined while a signal has interrupted it. */
  wait: SyncWait | undefined;
  /** What came while it was interrupted. */
  outcome: CallOutcome | undefined;
  alarm: Alarm | undefined;

  constructor(
    waiter: KdbusConnection,
    replier: KdbusConnection,
    cookie: bigint,
    deadline: bigint,
    isSync: boolean,
    name: ClaimedName<KdbusConnection> | undefined,
  ) {
    this.waiter = waiter;
    this.replier = replier;
    this.cookie = cookie;
    this.deadline = deadline;
    this.isSync = isSync;
    this.name = name;
  }

  /** Begins: from here on a reply finds it. */
  arm(): void {
    this.waiter.awaited.add(this);
    this.replier.owed.add(this);
    this.waiter.pendingRequests++;
  }

  /** No reply is awaited any more. */
  end(): void {
    if (!this.isLive) return;
    this.isLive = false;
    this.alarm?.cancel();
    this.waiter.awaited.delete(this);
    this.replier.owed.delete(this);
    if (!this.isRequestQueued) this.waiter.pendingRequests--;
  }

  /** The request has left its queue, which counts as long as it is there. */
  dequeued(): void {
    if (!this.isRequestQueued) return;
    this.isRequestQueued = false;
    if (!this.isLive) this.waiter.pendingRequests--;
  }

  /** Somebody else is to reply. */
  moveTo(replier: KdbusConnection): void {
    this.replier.owed.delete(this);
    this.replier = replier;
    replier.owed.add(this);
  }

  /** Of a sync call: tells how it ended, now or when it is resumed. */
  settle(outcome: CallOutcome): void {
    const { wait } = this;
    if (wait === undefined) this.outcome = outcome;
    // an interrupted one keeps its time to be resumed in
    const alarm = this.alarm;
    if (wait === undefined) this.alarm = undefined;
    this.end();
    this.alarm = alarm;
    wait?.answered(outcome);
  }

  /** A signal has interrupted the call, which may be made again until its deadline. */
  interrupt(clock: Clock): void {
    this.wait = undefined;
    this.waiter.interrupted.add(this);
    this.alarm = clock.at(this.deadline, () => this.discard());
  }

  /** It is made again. */
  resume(): void {
    this.alarm?.cancel();
    this.waiter.interrupted.delete(this);
  }

  /** An interrupted call is given up, and what came for it. */
  discard(): void {
    this.resume();
    this.end();
    const { outcome } = this;
    if (typeof outcome === 'object') this.waiter.drop(outcome);
    this.outcome = undefined;
  }
}
