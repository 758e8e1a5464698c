import type { LogLevel } from '../base/log.js';
import type { UserLimits } from '../bus/quota.js';
import type { Attributes } from '../device.js';

/** The descriptor on which the engine finds /dev/fuse, mounted. */
export const FUSE_FD = 3;
/** And its end of the heartbeat. */
export const HEARTBEAT_FD = 4;
/** Where it says that traffic begins (see Latency). */
export const ALARM_FD = 5;
/** An eventfd by which hands say that they have come back. The numbers up to it belong to the engine for its life. */
export const HANDS_FD = 7;
/** What it leaves to a successor (see Ledger). */
export const LEDGER_FD = 6;
/** Where it logs, lines of JSON. What Node says when it dies goes there too. */
export const LOG_FD = 2;

/** What the supervisor tells the engine, as its only argument, in JSON. */
export interface EngineConfig {
  /** The engine ends with this process. */
  readonly supervisorPid: number;
  /** st_dev of the mount. */
  readonly deviceNumber: { readonly major: number; readonly minor: number };
  /** Whether another engine served the mount before. */
  readonly takesOver: boolean;
  /** Mode and owner of the device. */
  readonly device: Attributes;
  /** Of every user; without one of held bytes, half of what there is for all. */
  readonly limits: Omit<UserLimits, 'heldBytes'> & { readonly heldBytes?: number | undefined };
  /** Held bytes of all users together, if it was said. */
  readonly totalHeldBytes: number | undefined;
  /** How many calls of a user may wait for its memory at once. */
  readonly maxHands: number;
  /** Users whose memory is touched without a hand. */
  readonly trustedUids: readonly number[];
  readonly logLevel: LogLevel;
}
