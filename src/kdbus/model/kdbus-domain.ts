import type { Clock } from '../../device.js';
import type { KdbusBus } from './kdbus-bus.js';
import { KdbusUsers } from './kdbus-user.js';

const NS_PER_MS = 1_000_000n;

/** What one mount holds: buses, and the users who have any. */
export class KdbusDomain {
  readonly clock: Clock;
  /** The number of the last capability that the kernel knows. */
  readonly lastCapability: number;
  readonly users = new KdbusUsers();
  readonly buses = new Map<string, KdbusBus>();
  private lastId = 0;

  constructor(clock: Clock, lastCapability: number) {
    this.clock = clock;
    this.lastCapability = lastCapability;
  }

  /** An id for a bus or a connection, never given twice. */
  nextId(): number {
    return ++this.lastId;
  }

  time(): { readonly monotonic: bigint; readonly realtime: bigint } {
    return { monotonic: this.clock.now(), realtime: BigInt(Date.now()) * NS_PER_MS };
  }
}
