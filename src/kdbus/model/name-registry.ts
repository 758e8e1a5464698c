import { Errno } from '../../base/errno.js';
import { NameFlag } from '../kdbus-abi.js';
import { Claim, ClaimedName, type NameChange, type NameHolder, type Standing } from './name-claim.js';
import { isWellKnownName } from './well-known-name.js';

/** How many names a connection may own or wait for. */
const MAX_NAMES = 256;

/** What of a request is kept with the claim. */
const SAVED = NameFlag.ALLOW_REPLACEMENT | NameFlag.QUEUE;

/** What ACQUIRE did. `flags` are to be returned also where it failed. */
export interface Acquisition<Holder> {
  readonly error: Errno;
  readonly flags: number;
  readonly change: NameChange<Holder> | undefined;
}

/**
 * The well-known names of a bus: for each a queue of claims, whose first one owns the name, and perhaps an activator, which
 * owns it while the queue is empty. Nothing else happens here: whom a change makes the owner, it is up to the caller to move
 * messages and to tell everybody.
 */
export class NameRegistry<Holder extends NameHolder<Holder>> {
  private readonly names = new Map<string, ClaimedName<Holder>>();

  /** How many names there are. */
  get size(): number {
    return this.names.size;
  }

  ownerOf(text: string): Claim<Holder> | undefined {
    return this.names.get(text)?.owner;
  }

  /**
   * ACQUIRE with NameFlag bits of a request, by a holder that policy lets own the name, or not. In this order: EINVAL, EPERM,
   * E2BIG, EEXIST.
   */
  acquire(holder: Holder, text: string, flags: number, mayOwn: boolean): Acquisition<Holder> {
    if (!isWellKnownName(text)) return failed(Errno.EINVAL);
    if (!mayOwn) return failed(Errno.EPERM);
    const claim = holder.claims.get(text);
    if (claim === undefined && holder.claims.size >= MAX_NAMES) return failed(Errno.E2BIG);
    const saved = flags & SAVED;
    const name = this.nameFor(text);
    const [owner] = name.queue;
    if (owner === undefined) return this.takeFree(holder, name, saved);
    if (claim === owner) {
      owner.flags = saved | NameFlag.PRIMARY;
      return { error: Errno.OK, flags: owner.flags, change: undefined };
    }
    if ((flags & NameFlag.REPLACE_EXISTING) !== 0 && (owner.flags & NameFlag.ALLOW_REPLACEMENT) !== 0) {
      return replace(owner, claim ?? claimFor(holder, name), saved);
    }
    if ((flags & NameFlag.QUEUE) !== 0) return wait(holder, name, claim, saved);
    if (claim === undefined) return failed(Errno.EEXIST, saved);
    withdraw(claim);
    return { error: Errno.OK, flags: saved, change: undefined };
  }

  private nameFor(text: string): ClaimedName<Holder> {
    const existing = this.names.get(text);
    if (existing !== undefined) return existing;
    const name = new ClaimedName<Holder>(text);
    this.names.set(text, name);
    return name;
  }

  /** The name is nobody's, or its activator's, which gives way. */
  private takeFree(holder: Holder, name: ClaimedName<Holder>, saved: number): Acquisition<Holder> {
    const { activator } = name;
    const before = activator && standing(activator);
    const claim = claimFor(holder, name);
    name.queue.push(claim);
    claim.flags = saved | NameFlag.PRIMARY;
    if (activator !== undefined) activator.flags = NameFlag.ACTIVATOR | NameFlag.IN_QUEUE;
    return acquired(claim, { name, before, after: standing(claim), movesMessages: activator !== undefined });
  }

  /**
   * HELLO of an activator, whose name is any that HELLO lets through. EEXIST if it has an activator; otherwise what changed, if
   * anything did.
   */
  activate(holder: Holder, text: string): NameChange<Holder> | undefined | Errno {
    const name = this.nameFor(text);
    if (name.activator !== undefined) return Errno.EEXIST;
    const claim = claimFor(holder, name);
    const isOwned = name.queue.length > 0;
    claim.flags = NameFlag.ACTIVATOR | (isOwned ? NameFlag.IN_QUEUE : NameFlag.PRIMARY);
    name.activator = claim;
    return isOwned ? undefined : { name, before: undefined, after: standing(claim), movesMessages: false };
  }

  /** RELEASE. ESRCH if there is no such name, EADDRINUSE if it is only others'; otherwise what changed, if anything did. */
  release(holder: Holder, text: string): NameChange<Holder> | undefined | Errno {
    if (!this.names.has(text)) return Errno.ESRCH;
    const claim = holder.claims.get(text);
    return claim === undefined ? Errno.EADDRINUSE : this.drop(claim);
  }

  /** A connection ends: its claims go, oldest first. */
  releaseAll(holder: Holder): NameChange<Holder>[] {
    return [...holder.claims.values()].flatMap((claim) => this.drop(claim) ?? []);
  }

  private drop(claim: Claim<Holder>): NameChange<Holder> | undefined {
    const { name } = claim;
    const wasOwner = claim === name.owner;
    withdraw(claim);
    if (!wasOwner) return undefined;
    const before = standing(claim);
    const { owner } = name;
    if (owner === undefined) {
      this.names.delete(name.text);
      return { name, before, after: undefined, movesMessages: false };
    }
    owner.flags = (owner.flags & ~NameFlag.IN_QUEUE) | NameFlag.PRIMARY;
    return { name, before, after: standing(owner), movesMessages: owner.isActivator };
  }
}

const standing = <Holder>({ holder, flags }: Claim<Holder>): Standing<Holder> => ({ holder, flags });

const failed = (error: Errno, flags = 0): Acquisition<never> => ({ error, flags, change: undefined });

const acquired = <Holder>(claim: Claim<Holder>, change?: NameChange<Holder>): Acquisition<Holder> => ({
  error: Errno.OK,
  flags: claim.flags | NameFlag.ACQUIRED,
  change,
});

function claimFor<Holder extends NameHolder<Holder>>(holder: Holder, name: ClaimedName<Holder>): Claim<Holder> {
  const claim = new Claim(holder, name, 0);
  holder.claims.set(name.text, claim);
  return claim;
}

/** Takes a claim out wherever it is. */
function withdraw<Holder extends NameHolder<Holder>>(claim: Claim<Holder>): void {
  const { holder, name } = claim;
  holder.claims.delete(name.text);
  unqueue(claim);
  if (name.activator === claim) name.activator = undefined;
}

function unqueue<Holder>(claim: Claim<Holder>): void {
  const { queue } = claim.name;
  const place = queue.indexOf(claim);
  if (place >= 0) queue.splice(place, 1);
}

/** Takes the name from an owner that allows it, past all who wait. The owner keeps its messages; it waits next, or leaves. */
function replace<Holder extends NameHolder<Holder>>(
  owner: Claim<Holder>,
  claim: Claim<Holder>,
  saved: number,
): Acquisition<Holder> {
  const { name } = owner;
  const before = standing(owner);
  unqueue(claim);
  claim.flags = saved | NameFlag.PRIMARY;
  if ((owner.flags & NameFlag.QUEUE) !== 0) {
    owner.flags = (owner.flags & ~NameFlag.PRIMARY) | NameFlag.IN_QUEUE;
  } else {
    withdraw(owner);
  }
  name.queue.unshift(claim);
  return acquired(claim, { name, before, after: standing(claim), movesMessages: false });
}

/** Joins the queue, or keeps its place there. */
function wait<Holder extends NameHolder<Holder>>(
  holder: Holder,
  name: ClaimedName<Holder>,
  claim: Claim<Holder> | undefined,
  saved: number,
): Acquisition<Holder> {
  const flags = saved | NameFlag.IN_QUEUE;
  if (claim !== undefined) {
    claim.flags = flags;
    return { error: Errno.OK, flags, change: undefined };
  }
  const joining = claimFor(holder, name);
  joining.flags = flags;
  name.queue.push(joining);
  return acquired(joining);
}
