import type { Logger } from 'pino';
import type { Accounts } from '../base/budget.js';
import { Errno } from '../base/errno.js';
import { type MappedMemory, POOL_SIZE, Pool } from '../bus/pool.js';
import type { Budgets, Obstacle, Resource, UserLimits } from '../bus/quota.js';
import { QuotaLog } from '../bus/quota-log.js';
import type { Attributes, Caller, DeviceNode, OpenFile } from '../device.js';
import { COMMANDS as COMMANDS_2026 } from './2026/commands-2026.js';
import { LIMITS as LIMITS_2026 } from './2026/model/account.js';
import { Bus as Bus2026 } from './2026/model/bus-2026.js';
import { Bus1File, type FileContext, type Opener, SharedPool } from './bus1-file.js';
import { type BusStatus, type Counters, totals, userStatus } from './bus1-status.js';
import { COMMANDS } from './commands.js';
import { Bus } from './model/bus.js';
import type { Peer } from './model/peer.js';

const PAGE_SIZE = 4096;

/** How many descriptors a viewpoint takes at most. */
const VIEWPOINT_DESCRIPTORS = 2;

const EXHAUSTED =
  'out of descriptors, of memory or of memory mappings, of which each peer takes one; the sysctl vm.max_map_count raises their number';

const STRANGER =
  'refused a second user of one inode, as a bind mount of the device file makes it; bind the directory of the mount instead ' +
  '(docker run -v /run/bus1:/run/bus1), in which every open has an inode of its own';

export interface Bus1Options {
  /** Of every user. */
  readonly limits: UserLimits;
  /** Of all users together. */
  readonly budgets: Budgets;
  /** Descriptors that are held for users. */
  readonly descriptors: Accounts;
  readonly attributes: Attributes;
  /** Makes the memory of a pool, or says why there is none. */
  readonly createMemory: (size: number) => MappedMemory | Errno;
  readonly log: Logger;
}

/** The bus1 character device: all peers opened on it share one bus. */
export class Bus1Device implements DeviceNode {
  readonly kind = 'device';
  /** The misc major and the minor a kernel module would be given. */
  readonly rdev = { major: 10, minor: 58 };
  readonly memorySize = Math.ceil(POOL_SIZE / PAGE_SIZE) * PAGE_SIZE;
  readonly isVolatile = false;
  private readonly options: Bus1Options;
  private readonly context: FileContext;
  private readonly quotaLog: QuotaLog;
  private readonly files = new Map<Peer, Bus1File>();
  private readonly counters: Counters = { opened: 0, ioctls: 0, failed: 0 };
  private hasReportedExhaustion = false;
  private hasReportedStranger = false;

  constructor(options: Bus1Options) {
    this.options = options;
    this.quotaLog = new QuotaLog(options.log);
    const { limits, budgets } = options;
    const bus = new Bus(limits, budgets);
    const limits2026 = { ...LIMITS_2026, bytes: Math.min(LIMITS_2026.bytes, limits.heldBytes) };
    bus.onRefusal = ({ asker, holder, ...refusal }) =>
      this.quotaLog.report(
        { holder, ...refusal },
        () => this.describe(asker),
        () => this.describe(holder),
      );
    this.context = {
      bus,
      descriptors: options.descriptors.budget,
      commands: COMMANDS,
      bus2026: new Bus2026(limits2026, budgets),
      commands2026: COMMANDS_2026,
      counters: this.counters,
      onRelease: (file) => {
        this.note(file, 'a peer was closed');
        this.files.delete(file.peer);
      },
    };
  }

  attributes(): Attributes {
    return this.options.attributes;
  }

  open(caller: Caller, siblings: ReadonlySet<OpenFile>): OpenFile | Errno {
    const { peers } = this.context.bus.user(caller.uid);
    if (!peers.fits(1)) return this.refuseOpen(caller, 'peers', 1, peers.obstacle(1));
    const identity = caller.identity();
    if (typeof identity === 'number') return identity;
    const viewpoint = caller.viewpoint();
    if (viewpoint === Errno.EMFILE) {
      const { used, max } = this.context.descriptors;
      return this.refuseOpen(caller, 'descriptors', VIEWPOINT_DESCRIPTORS, { bound: 'total', used, max });
    }
    if (typeof viewpoint === 'number') return viewpoint;
    const pool = siblings.size > 0 ? this.sharePool(siblings, caller.uid) : this.createPool(caller.uid);
    if (typeof pool === 'number') {
      viewpoint.release();
      return pool;
    }
    const opener: Opener = { identity, command: caller.command(), viewpoint };
    const file = new Bus1File(this.context, pool, opener);
    this.files.set(file.peer, file);
    this.counters.opened++;
    this.note(file, 'a peer was opened');
    return file;
  }

  private refuseOpen(caller: Caller, resource: Resource, amount: number, obstacle: Obstacle): Errno {
    this.quotaLog.report(
      { holder: this.context.bus.user(caller.uid), resource, amount, obstacle },
      () => `thread ${caller.tid} (uid ${caller.uid}, ${caller.command()})`,
      () => `uid ${caller.uid}`,
    );
    return Errno.EMFILE;
  }

  private note({ peer }: Bus1File, what: string): void {
    const { log } = this.options;
    if (log.isLevelEnabled('debug')) log.debug({ peer: this.describe(peer) }, what);
  }

  private createPool(uid: number): SharedPool | Errno {
    const memory = this.options.createMemory(POOL_SIZE);
    if (typeof memory !== 'number') return new SharedPool(new Pool(memory), uid);
    if (!this.hasReportedExhaustion) this.options.log.error(EXHAUSTED);
    this.hasReportedExhaustion = true;
    return memory;
  }

  /**
   * All opens of one inode map the same memory, so what one of them receives the others can read: only the same user may. What
   * root has opened and not used, as a virus scanner does on the way of each open, is given up in favour of who comes next.
   */
  private sharePool(siblings: ReadonlySet<OpenFile>, uid: number): SharedPool | Errno {
    const files = [...siblings].filter((file) => file instanceof Bus1File);
    const pool = files[0]?.pool;
    if (pool === undefined) return Errno.EBUSY;
    if (pool.owner === 0 && files.every((file) => !file.speaks2016)) pool.owner = uid;
    if (pool.owner === uid) {
      pool.retain();
      return pool;
    }
    if (!this.hasReportedStranger) this.options.log.warn({ uid, owner: pool.owner }, STRANGER);
    this.hasReportedStranger = true;
    return Errno.EBUSY;
  }

  /** What goes on on the bus now. */
  status(): BusStatus {
    const { budgets, descriptors } = this.options;
    return {
      counters: this.counters,
      totals: totals(budgets, descriptors.budget),
      users: Array.from(this.context.bus.users(), (user) => userStatus(user, descriptors.held(user.uid))),
      peers: Array.from(this.files.values(), (file) => file.status()),
    };
  }

  private describe(peer: Peer): string {
    const { id, uid, pid, command } = this.files.get(peer)?.status() ?? {};
    return `peer ${id} (uid ${uid}, pid ${pid}, ${command})`;
  }
}
