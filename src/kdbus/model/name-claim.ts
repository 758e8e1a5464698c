import { NameFlag } from '../kdbus-abi.js';

/** What names need to know of a connection: `Self` is its class. */
export interface NameHolder<Self> {
  readonly id: number;
  /** Its claims by name, oldest first. Only the registry changes it. */
  readonly claims: Map<string, Claim<Self>>;
}

/** One connection's claim to a name: as its owner, waiting in its queue, or as its activator. */
export class Claim<Holder> {
  readonly holder: Holder;
  readonly name: ClaimedName<Holder>;
  /** NameFlag bits: what ACQUIRE saved, and the state. */
  flags: number;

  constructor(holder: Holder, name: ClaimedName<Holder>, flags: number) {
    this.holder = holder;
    this.name = name;
    this.flags = flags;
  }

  /** Whether somebody else owns the name: then the claim counts for nothing but its turn. */
  get isQueued(): boolean {
    return (this.flags & NameFlag.IN_QUEUE) !== 0;
  }

  get isActivator(): boolean {
    return (this.flags & NameFlag.ACTIVATOR) !== 0;
  }
}

/**
 * A well-known name for as long as somebody claims it without a break. If it ceases and comes again, that is another object:
 * messages sent to the old one do not belong to the new one.
 */
export class ClaimedName<Holder> {
  readonly text: string;
  /** The first one owns the name, the others wait for it. */
  readonly queue: Claim<Holder>[] = [];
  activator: Claim<Holder> | undefined;

  constructor(text: string) {
    this.text = text;
  }

  /** Who owns it; undefined only when it has ceased. */
  get owner(): Claim<Holder> | undefined {
    return this.queue[0] ?? this.activator;
  }
}

/** A holder of a name and the flags of its claim, as they are told. */
export interface Standing<Holder> {
  readonly holder: Holder;
  readonly flags: number;
}

/**
 * A name got another owner, its first or its last. If there was one before and is one after and one of the two is the activator,
 * what was sent to the name and still is the old one's to handle becomes the new one's.
 */
export interface NameChange<Holder> {
  readonly name: ClaimedName<Holder>;
  readonly before: Standing<Holder> | undefined;
  readonly after: Standing<Holder> | undefined;
  readonly movesMessages: boolean;
}
