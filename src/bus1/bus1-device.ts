import type { Logger } from 'pino';
import { Errno } from '../base/errno.js';
import { POOL_SIZE, Pool } from '../bus/pool.js';
import type { Limits } from '../bus/quota.js';
import { QuotaLog } from '../bus/quota-log.js';
import type { Caller } from '../caller/caller.js';
import type { Device, OpenFile } from '../device.js';
import { SharedMemory } from '../linux/memory.js';
import { Bus1File } from './bus1-file.js';
import type { BusStatus, Counters } from './bus1-status.js';
import { Bus } from './model/bus.js';
import type { Peer } from './model/peer.js';

const EXHAUSTED =
  'out of memory or of memory mappings, of which each peer takes one; the sysctl vm.max_map_count raises their number';

const STRANGER =
  'refused a second user of one inode, as a bind mount of the device file makes it; bind the directory of the mount instead ' +
  '(docker run -v /run/bus1:/run/bus1), in which every open has an inode of its own';

/** The bus1 character device: all peers opened on it share one bus. */
export class Bus1Device implements Device {
  /** The misc major and the minor a kernel module would be given. */
  readonly rdev = { major: 10, minor: 58 };
  private readonly bus: Bus;

  private readonly log: Logger;
  private hasReportedExhaustion = false;
  private hasReportedStranger = false;
  private readonly files = new Map<Peer, Bus1File>();
  private readonly counters: Counters = { opened: 0, ioctls: 0, failed: 0 };

  /** `limits` are those of every user. */
  constructor(limits: Limits, log: Logger) {
    this.log = log;
    const quotaLog = new QuotaLog(log);
    this.bus = new Bus(limits);
    this.bus.onRefusal = (refusal) => quotaLog.report(refusal, (peer) => this.describe(peer));
  }

  open(caller: Caller, sibling: OpenFile | undefined): OpenFile | Errno {
    const pool = sibling instanceof Bus1File ? this.sharePool(sibling, caller.uid) : this.createPool();
    if (typeof pool === 'number') return pool;
    const opener = { uid: caller.uid, pid: caller.pid, command: caller.command, viewpoint: caller.viewpoint() };
    const file = new Bus1File(this.bus, pool, opener, this.counters, () => this.files.delete(file.peer));
    this.files.set(file.peer, file);
    this.counters.opened++;
    return file;
  }

  private createPool(): Pool<SharedMemory> | Errno {
    const memory = SharedMemory.create('bus1-pool', POOL_SIZE);
    if (typeof memory !== 'number') return new Pool(memory);
    if (!this.hasReportedExhaustion) this.log.error(EXHAUSTED);
    this.hasReportedExhaustion = true;
    return Errno.ENOMEM;
  }

  /** All opens of one inode map the same memory, so what one of them receives the others can read: only the same user may. */
  private sharePool({ pool, uid: owner }: Bus1File, uid: number): Pool<SharedMemory> | Errno {
    if (uid === owner) {
      pool.memory.retain();
      return pool;
    }
    if (!this.hasReportedStranger) this.log.warn({ uid, owner }, STRANGER);
    this.hasReportedStranger = true;
    return Errno.EBUSY;
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
