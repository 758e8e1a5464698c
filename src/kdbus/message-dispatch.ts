import { Errno } from '../base/errno.js';
import { Suspension } from '../device.js';
import { CONN_MAX_REQUESTS_PENDING, ItemType, MsgFlag } from './kdbus-abi.js';
import type { MessageDraft } from './message-draft.js';
import type { KdbusConnection } from './model/kdbus-connection.js';
import type { Signal } from './model/match-rule.js';
import { mayTalk } from './model/policy.js';
import { Tracker } from './model/tracker.js';
import { type OutgoingMessage, type PayloadSource, Transmission } from './model/transmission.js';
import type { ThreadFacts } from './thread-facts.js';

/** Brings a message to where it belongs. */
export class Dispatch {
  private readonly sender: KdbusConnection;
  private readonly draft: MessageDraft;
  private readonly message: OutgoingMessage;
  private readonly facts: ThreadFacts;
  private readonly source: PayloadSource;

  constructor(
    sender: KdbusConnection,
    draft: MessageDraft,
    message: OutgoingMessage,
    facts: ThreadFacts,
    source: PayloadSource,
  ) {
    this.sender = sender;
    this.draft = draft;
    this.message = message;
    this.facts = facts;
    this.source = source;
  }

  /** Sends whatever it is, but no sync call. */
  send(): Errno {
    const { draft } = this;
    if (draft.isBroadcast) return this.broadcast();
    const receiver = this.findReceiver();
    if (typeof receiver === 'number') return receiver;
    if (draft.isSignal) return this.signal(receiver);
    if (draft.expectsReply) {
      const tracker = this.request(receiver, false);
      return typeof tracker === 'number' ? tracker : Errno.OK;
    }
    if (draft.union !== 0n) return this.reply(receiver);
    if (!this.mayTalkTo(receiver)) return Errno.EPERM;
    return this.deliver(receiver);
  }

  /** Whom it is for: ESRCH, EREMCHG, EADDRNOTAVAIL, ENXIO. */
  private findReceiver(): KdbusConnection | Errno {
    const { sender, draft } = this;
    const { bus } = sender;
    if (draft.name === undefined) {
      const receiver = bus.connections.get(draft.destination);
      return receiver?.kind === 'ordinary' ? receiver : Errno.ENXIO;
    }
    const claim = bus.names.ownerOf(draft.name);
    if (claim === undefined) return Errno.ESRCH;
    const { holder } = claim;
    if (draft.destination !== 0 && draft.destination !== holder.id) return Errno.EREMCHG;
    if (claim.isActivator && (draft.flags & MsgFlag.NO_AUTO_START) !== 0) return Errno.EADDRNOTAVAIL;
    return holder;
  }

  private mayTalkTo(receiver: KdbusConnection): boolean {
    const { sender } = this;
    if (sender.isOwner) return true;
    const { standing } = this.facts;
    if (typeof standing === 'number') return false;
    const asker = { euid: standing.uids[1] as number, egid: standing.gids[1] as number, groups: standing.groups };
    return mayTalk(sender, asker, receiver, sender.bus.policy);
  }

  private get asSignal(): Signal | undefined {
    const { filter, isBroadcast, destination } = this.draft;
    return filter && { sender: this.sender, destination: isBroadcast ? undefined : destination, filter };
  }

  private mayHear(receiver: KdbusConnection): boolean {
    return mayTalk(receiver, receiver.opener, this.sender, this.sender.bus.policy);
  }

  private broadcast(): Errno {
    const { bus } = this.sender;
    const transmission = new Transmission(this.message);
    for (const monitor of bus.monitors) transmission.addLossy(monitor);
    const signal = this.asSignal;
    if (signal !== undefined) {
      for (const receiver of bus.matches.receiversOfSignal(signal)) {
        if (receiver.isAlive && this.mayHear(receiver)) transmission.addLossy(receiver);
      }
    }
    if (this.copy(transmission) !== Errno.OK) transmission.lose();
    else transmission.commit();
    return Errno.OK;
  }

  /** What cannot be delivered is lost, and nobody is told. */
  private signal(receiver: KdbusConnection): Errno {
    const signal = this.asSignal;
    const isHeard = signal !== undefined && receiver.matches.accepts(signal) && this.mayHear(receiver);
    if (isHeard) this.deliver(receiver);
    else this.deliver(undefined);
    return Errno.OK;
  }

  /** A call: EPERM, EMLINK, and what deliver() has. */
  request(receiver: KdbusConnection, isSync: boolean): Tracker | Errno {
    const { sender, draft, message } = this;
    if (!this.mayTalkTo(receiver)) return Errno.EPERM;
    if (sender.pendingRequests >= CONN_MAX_REQUESTS_PENDING) return Errno.EMLINK;
    const tracker = new Tracker(sender, receiver, draft.cookie, draft.union, isSync, message.name);
    const error = this.deliver(receiver, tracker);
    if (error !== Errno.OK) return error;
    return tracker;
  }

  /** The receiver of a sync call. */
  receiverOfCall(): KdbusConnection | Errno {
    return this.findReceiver();
  }

  private reply(waiter: KdbusConnection): Errno {
    const { sender, draft } = this;
    let tracker: Tracker | undefined;
    for (const each of sender.owed) if (each.waiter === waiter && each.cookie === draft.union) tracker = each;
    if (tracker === undefined) return Errno.EBADSLT;
    if (!tracker.isSync) {
      const error = this.deliver(waiter);
      tracker.end();
      return error;
    }
    const transmission = new Transmission(this.message);
    const error = this.prepare(transmission, waiter);
    if (error === Errno.OK) {
      const delivered = transmission.commit(waiter);
      if (delivered !== undefined) tracker.settle(delivered);
    } else {
      tracker.settle(error === Errno.ECOMM ? Errno.EREMOTEIO : error);
    }
    return error;
  }

  /** Delivers to the monitors and then to a receiver, if there is one. */
  private deliver(receiver: KdbusConnection | undefined, tracker?: Tracker): Errno {
    const transmission = new Transmission(this.message);
    const error = this.prepare(transmission, receiver);
    if (error !== Errno.OK) return error;
    tracker?.arm();
    if (tracker !== undefined && !tracker.isSync) this.startTimer(tracker);
    const delivered = transmission.commit(receiver, tracker);
    if (delivered !== undefined) receiver?.enqueue(delivered);
    return Errno.OK;
  }

  /** Everything that may fail for the receiver. If it does, the monitors have got theirs. */
  private prepare(transmission: Transmission, receiver: KdbusConnection | undefined): Errno {
    for (const monitor of this.sender.bus.monitors) transmission.addLossy(monitor);
    const error = receiver === undefined ? Errno.OK : transmission.add(receiver);
    const copyError = this.copy(transmission);
    if (copyError !== Errno.OK) transmission.lose(error === Errno.OK ? receiver : undefined);
    else if (error !== Errno.OK) transmission.commit();
    return error === Errno.OK ? copyError : error;
  }

  private copy(transmission: Transmission): Errno {
    try {
      return transmission.copy(this.source);
    } catch (thrown) {
      transmission.abort(thrown instanceof Suspension ? thrown : undefined);
      throw thrown;
    }
  }

  private startTimer(tracker: Tracker): void {
    const { bus } = this.sender;
    tracker.alarm = bus.clock.at(tracker.deadline, () => {
      tracker.end();
      bus.notify({ type: ItemType.REPLY_TIMEOUT, destination: tracker.waiter.id, cookie: tracker.cookie });
      bus.flush();
    });
  }
}
