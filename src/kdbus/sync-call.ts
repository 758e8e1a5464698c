import type { Bytes } from '../base/bytes.js';
import { Errno } from '../base/errno.js';
import type { Pending, PendingEnd, Waitable } from '../device.js';
import { handOut } from './hand-out.js';
import { CmdSend } from './kdbus-abi.js';
import type { KdbusCall } from './kdbus-call.js';
import type { Dispatch } from './message-dispatch.js';
import type { MessageDraft } from './message-draft.js';
import type { KdbusConnection } from './model/kdbus-connection.js';
import type { CallOutcome, SyncWait, Tracker } from './model/tracker.js';

/** Times from here on are negative to the kernel, and past. */
const END_OF_TIME = 1n << 63n;

/** A SEND that waits for its answer. */
export class SyncCall implements Pending, SyncWait {
  readonly deadline: bigint;
  readonly cancelFd: number | undefined;
  argument: Bytes | undefined;
  finish: ((outcome: Errno | (() => Errno)) => void) | undefined;
  private readonly sender: KdbusConnection;
  private readonly call: KdbusCall;
  private readonly draft: MessageDraft;
  private readonly cancel: Waitable | undefined;
  private tracker: Tracker | undefined;

  constructor(sender: KdbusConnection, call: KdbusCall, draft: MessageDraft, cancel: Waitable | undefined) {
    this.sender = sender;
    this.call = call;
    this.draft = draft;
    this.cancel = cancel;
    this.cancelFd = cancel?.fd;
    this.deadline = draft.union < END_OF_TIME ? draft.union : 0n;
  }

  /** Sends the request, unless it was sent before a signal interrupted the call, and waits. */
  begin(dispatch: Dispatch): Errno | Pending {
    const interrupted = this.findInterrupted();
    if (interrupted !== undefined) return this.resume(interrupted);
    if (this.deadline <= this.sender.bus.clock.now()) return Errno.ETIMEDOUT;
    const receiver = dispatch.receiverOfCall();
    if (typeof receiver === 'number') return receiver;
    const tracker = dispatch.request(receiver, true);
    if (typeof tracker === 'number') return tracker;
    return this.waitFor(tracker);
  }

  private findInterrupted(): Tracker | undefined {
    let found: Tracker | undefined;
    for (const tracker of this.sender.interrupted) if (tracker.cookie === this.draft.cookie) found = tracker;
    return found;
  }

  private resume(tracker: Tracker): Errno | Pending {
    tracker.resume();
    const { outcome } = tracker;
    if (outcome === undefined) return this.waitFor(tracker);
    tracker.outcome = undefined;
    return this.complete(outcome);
  }

  private waitFor(tracker: Tracker): Pending {
    tracker.wait = this;
    this.tracker = tracker;
    return this;
  }

  /** The answer is there, or never will be. */
  answered(outcome: CallOutcome): void {
    this.finish?.(() => this.complete(outcome));
  }

  private complete(outcome: CallOutcome): Errno {
    this.cancel?.close();
    if (typeof outcome === 'number') return this.call.finish(outcome);
    return handOut(this.sender, this.call.caller, outcome, (flags) => {
      this.call.set(CmdSend.reply, outcome.slice.offset, outcome.slice.size, flags);
      return this.call.finish(Errno.OK);
    });
  }

  end(why: PendingEnd): Errno | (() => Errno) {
    const { tracker } = this;
    if (why === 'interrupted') {
      this.cancel?.close();
      tracker?.interrupt(this.sender.bus.clock);
      return Errno.ERESTARTSYS;
    }
    tracker?.end();
    return () => this.complete(why === 'timeout' ? Errno.ETIMEDOUT : Errno.ECANCELED);
  }
}
