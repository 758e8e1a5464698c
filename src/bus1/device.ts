import type { Logger } from 'pino';
import type { Caller } from '../caller/caller.js';
import type { Device, OpenFile } from '../device.js';
import { Errno } from '../errno.js';
import { SharedMemory } from '../linux/memory.js';
import { Bus1File } from './file.js';
import { Bus } from './model/bus.js';
import type { Peer } from './model/peer.js';
import { POOL_SIZE } from './model/pool.js';
import type { Limits } from './model/quota.js';
import { QuotaLog } from './quota-log.js';
import type { BusStatus, Counters } from './status.js';

const EXHAUSTED =
  'out of memory or of memory mappings, of which each peer takes one; the sysctl vm.max_map_count raises their number';

/** The bus1 character device: all peers opened on it share one bus. */
export class Bus1Device implements Device {
  /** The misc major and the minor a kernel module would be given. */
  readonly rdev = { major: 10, minor: 58 };
  private readonly bus: Bus;

  private readonly log: Logger;
  private hasReportedExhaustion = false;
  private readonly files = new Map<Peer, Bus1File>();
  private readonly counters: Counters = { opened: 0, ioctls: 0, failed: 0 };

  /** `limits` are those of every user. */
  constructor(limits: Limits, log: Logger) {
    this.log = log;
    const quotaLog = new QuotaLog(log);
    this.bus = new Bus(limits);
    this.bus.onRefusal = (refusal) => quotaLog.report(refusal, (peer) => this.describe(peer));
  }

  open(caller: Caller): OpenFile | Errno {
    const memory = SharedMemory.create('bus1-pool', POOL_SIZE);
    if (memory === undefined) {
      if (!this.hasReportedExhaustion) this.log.error(EXHAUSTED);
      this.hasReportedExhaustion = true;
      return Errno.ENOMEM;
    }
    const opener = { uid: caller.uid, pid: caller.pid, command: caller.command, viewpoint: caller.viewpoint() };
    const file = new Bus1File(this.bus, memory, opener, this.counters, () => this.files.delete(file.peer));
    this.files.set(file.peer, file);
    this.counters.opened++;
    return file;
  }

  /** What goes on on the bus now. */
  status(): BusStatus {
    return { counters: this.counters, peers: Array.from(this.files.values(), (file) => file.status()) };
  }

  private describe(peer: Peer): string {
    const { id, uid, pid, command } = this.files.get(peer)?.status() ?? {};
    return `peer ${id} (uid ${uid}, pid ${pid}, ${command})`;
  }
}
