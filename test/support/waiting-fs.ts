import { openSync } from 'node:fs';
import { pino } from 'pino';
import type { Bytes } from '../../src/base/bytes.js';
import { Errno } from '../../src/base/errno.js';
import { BlockedCaller } from '../../src/caller/blocked-caller.js';
import { Closer } from '../../src/caller/closer.js';
import { Hands, PATIENCE } from '../../src/caller/hands.js';
import { systemCallOf } from '../../src/caller/thread.js';
import type {
  Attributes,
  Caller,
  DeviceNode,
  DirectoryNode,
  Node,
  OpenFile,
  Pending,
  PendingEnd,
  TextNode,
} from '../../src/device.js';
import { Connection } from '../../src/fuse/connection.js';
import { Session } from '../../src/fuse/session.js';
import { createEventfd } from '../../src/linux/eventfd.js';
import { close } from '../../src/linux/file.js';
import { mount } from '../../src/linux/mount-table.js';
import { copyDescriptor } from '../../src/linux/pidfd.js';
import { pathQueries } from '../../src/linux/syscalls.js';
import { accounts } from './budgets.js';
import { FakeLedger } from './fake-ledger.js';

/*
 * A file system that has what the contract of device.ts allows and bus1 does not use: directories in directories, attributes
 * that change, a device without memory, and calls that are answered later. Prints "ready", and lasts until it is unmounted.
 *
 *   waiting-fs.ts DIRECTORY
 *
 * `wait` is the device. Its commands take a __u64; a call that ends otherwise than by FINISH says how in it, too late to be seen.
 */

/** _IOWR('w', nr, __u64) */
const command = (nr: number): number => (0xc000_0000 | (8 << 16) | (0x77 << 8) | nr) >>> 0;
/** Waits; so many ms at most if it is not 0. */
const WAIT = command(1);
/** Waits until the descriptor with this number can be read. */
const WAIT_CANCELLABLE = command(2);
/** Answers all waiting calls with this value. */
const FINISH = command(3);
/** Says how many wait. */
const COUNT = command(4);
/** Changes the mode of `changing`. */
const CHANGE = command(5);

const ENDS: Readonly<Record<PendingEnd, Errno>> = {
  timeout: Errno.ETIMEDOUT,
  interrupted: Errno.EINTR,
  cancelled: Errno.ECANCELED,
};

let mode = 0o644;
const fixed = (mode: number): Attributes => ({ mode, uid: 0, gid: 0 });

class Wait implements Pending {
  readonly deadline: bigint | undefined;
  readonly cancelFd: number | undefined;
  argument: Bytes | undefined;
  finish: ((error: Errno) => void) | undefined;
  private readonly onEnd: () => void;

  constructor(milliseconds: number, cancelFd: number | undefined, onEnd: () => void) {
    this.deadline = milliseconds === 0 ? undefined : process.hrtime.bigint() + BigInt(milliseconds) * 1_000_000n;
    this.cancelFd = cancelFd;
    this.onEnd = onEnd;
  }

  end(why: PendingEnd): Errno {
    this.leave();
    return ENDS[why];
  }

  answer(value: number): void {
    this.leave();
    this.argument?.setU64(0, value);
    this.finish?.(Errno.OK);
  }

  private leave(): void {
    this.onEnd();
    if (this.cancelFd !== undefined) close(this.cancelFd);
  }
}

class WaitDevice implements DeviceNode {
  readonly kind = 'device';
  readonly rdev = { major: 10, minor: 59 };
  readonly memorySize = 0;
  readonly isVolatile = false;
  private readonly waiting = new Set<Wait>();

  attributes(): Attributes {
    return fixed(0o666);
  }

  open(): OpenFile {
    return {
      memory: undefined,
      onPollChange: undefined,
      poll: () => 0,
      release: () => {},
      ioctl: (command, argument, caller) => this.ioctl(command, argument, caller),
    };
  }

  private ioctl(command: number, argument: Bytes, caller: Caller): Errno | Pending {
    switch (command) {
      case WAIT:
        return this.wait(argument.u64(0), undefined);
      case WAIT_CANCELLABLE:
        return this.wait(0, copyDescriptor(caller.tid, argument.i32(0)));
      case FINISH:
        for (const wait of [...this.waiting]) wait.answer(argument.u64(0));
        return Errno.OK;
      case COUNT:
        argument.setU64(0, this.waiting.size);
        return Errno.OK;
      case CHANGE:
        mode ^= 0o022;
        return Errno.OK;
      default:
        return Errno.ENOTTY;
    }
  }

  private wait(milliseconds: number, cancelFd: number | undefined): Pending {
    const wait = new Wait(milliseconds, cancelFd, () => this.waiting.delete(wait));
    this.waiting.add(wait);
    return wait;
  }
}

const text = (content: string): TextNode => ({
  kind: 'text',
  isVolatile: true,
  attributes: () => fixed(mode),
  content: () => content,
});

function directory(nodes: ReadonlyMap<string, Node>): DirectoryNode {
  return {
    kind: 'directory',
    isVolatile: false,
    attributes: () => fixed(0o755),
    child: (name) => nodes.get(name),
    children: () => nodes,
  };
}

const many = Array.from({ length: 300 }, (_, i) => [`file-number-${i}`, text(`${i}\n`)] as const);
const root = directory(
  new Map<string, Node>([
    ['wait', new WaitDevice()],
    ['changing', text('')],
    ['many', directory(new Map(many))],
    ['a', directory(new Map([['b', directory(new Map([['c', text('deep\n')]]))]]))],
  ]),
);

const [, , where = ''] = process.argv;
const fd = openSync('/dev/fuse', 'r+');
const data = `fd=${fd},rootmode=40755,user_id=0,group_id=0,allow_other,default_permissions`;
const error = mount('waiting', where, 'fuse.bus1fs-test', 0, data);
if (error < 0) throw new Error(`mounting failed with errno ${-error}`);
const doneFd = createEventfd();
const closer = new Closer(doneFd, accounts());
const hands = new Hands({
  doneFd,
  bytes: accounts(),
  maxPerUser: 16,
  patience: PATIENCE,
  trusted: new Set(),
  log: pino(pino.destination(2)),
});
const session = new Session(new Connection(fd), root, {
  deviceNumber: { major: 0, minor: 0 },
  ledger: new FakeLedger(2),
  pulse: { begin: () => {}, end: () => {} },
  createCaller: (call) => new BlockedCaller(call, hands, closer),
  waker: { fd: doneFd, isNeeded: false, collect: () => hands.collect() },
  isPathQuery: ({ tid }) => pathQueries.has(systemCallOf(tid)),
  log: pino(pino.destination(2)),
});
process.stdout.write('ready\n');
session.run();
