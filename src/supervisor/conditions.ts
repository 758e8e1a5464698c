import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { release } from 'node:os';
import { processVmReadv } from '../linux/memory.js';
import { IOVEC_SIZE, NativeBuffer } from '../linux/native-buffer.js';
import { pathQueries } from '../linux/syscalls.js';
import { type Capability, holds } from './capabilities.js';
import type { Finding } from './finding.js';
import { isKernelNewEnough, KERNEL_CURE, LEAST_KERNEL } from './kernel-version.js';
import { PM_QOS_FILE } from './latency.js';

/**
 * What the system may refuse the daemon: to mount; to mount because of a security module, which says EACCES; to put a
 * pool behind an open file; to look at a client in /proc; to reach its memory and descriptors; to stop it and install some.
 */
export type Deed = 'mount' | 'confined mount' | 'pool' | 'look' | 'reach' | 'install';

/** Something about this process or the system that can be told without trying, and what it may be the cause of. */
export interface Condition extends Finding {
  readonly refuses: readonly Deed[];
}

/** include/linux/proc_ns.h */
const INITIAL_NAMESPACES = { user: 'user:[4026531837]', pid: 'pid:[4026531836]' } as const;
const YAMA_NO_ATTACH = '3';

/** What decides whether anybody can be served, and takes no time to find out. */
export const preconditions = (): readonly Condition[] => [
  kernel(),
  architecture(),
  userNamespace(),
  capability('CAP_SYS_ADMIN', ['mount', 'pool'], 'to mount, and for FUSE passthrough'),
  capability('CAP_SYS_PTRACE', ['look', 'reach', 'install'], 'to reach memory and descriptors of clients'),
  readAccess(),
  yama(),
  memoryCalls(),
];

/** The rest of what cannot be tried out here, or explains why a trial fails. */
export const circumstances = (): readonly Condition[] => [confinement(), seccomp(), pidNamespace(), wakeUps()];

function kernel(): Condition {
  return {
    what: 'kernel',
    state: isKernelNewEnough() ? 'ok' : 'missing',
    found: release(),
    advice: `Linux ${LEAST_KERNEL.join('.')} or newer is needed, for FUSE passthrough. ${KERNEL_CURE}`,
    refuses: ['pool'],
  };
}

function architecture(): Condition {
  return {
    what: 'architecture',
    state: pathQueries.size > 0 && process.arch === 'x64' ? 'ok' : 'missing',
    found: process.arch,
    advice: 'Only x86-64 is supported so far.',
    refuses: [],
  };
}

/** FUSE passthrough asks for capabilities of the whole system, which no other user namespace has. */
function userNamespace(): Condition {
  const isInitial = readlinkSync('/proc/self/ns/user') === INITIAL_NAMESPACES.user;
  return {
    what: 'user namespace',
    state: isInitial ? 'ok' : 'missing',
    found: isInitial ? 'of the host' : 'another one',
    advice: 'The daemon cannot run in a rootless container; use a rootful one without a user namespace: --userns=host.',
    refuses: ['pool', 'look', 'reach', 'install'],
  };
}

function capability(name: Capability, refuses: readonly Deed[], use: string): Condition {
  const isHeld = holds(name);
  return {
    what: name,
    state: isHeld ? 'ok' : 'missing',
    found: isHeld ? 'held' : 'not held',
    advice: `It is needed ${use}. ${howToGet(name)}`,
    refuses,
  };
}

const howToGet = (name: Capability): string =>
  `Run as root; in a container: docker run --cap-add ${name.slice('CAP_'.length)}; in a unit: CapabilityBoundingSet=.`;

/** What /proc tells of a process, and its memory there, is for its owner only, or for whoever may read and write every file. */
function readAccess(): Condition {
  const name = 'CAP_DAC_OVERRIDE';
  return {
    what: name,
    state: holds(name) ? 'ok' : 'limited',
    found: holds(name) ? 'held' : 'not held',
    advice: `It is needed to serve clients of other users than root. ${howToGet(name)}`,
    refuses: ['look', 'install'],
  };
}

function yama(): Condition {
  const scope = readTrimmed('/proc/sys/kernel/yama/ptrace_scope');
  return {
    what: 'Yama',
    state: scope === YAMA_NO_ATTACH ? 'missing' : 'ok', // the lower scopes let CAP_SYS_PTRACE pass
    found: scope === undefined ? 'not in use' : `ptrace_scope ${scope}`,
    advice:
      'ptrace_scope 3 keeps everybody from the memory of others; only a reboot can lower it (kernel.yama.ptrace_scope).',
    refuses: ['reach', 'install'],
  };
}

function memoryCalls(): Condition {
  const source = new NativeBuffer(1);
  const vectors = new NativeBuffer(IOVEC_SIZE);
  vectors.setIovec(0, source.address, 1);
  const works = processVmReadv(process.pid, vectors.address, 1, vectors.address, 1, 0) === 1;
  return {
    what: 'process_vm_readv',
    state: works ? 'ok' : 'missing',
    found: works ? 'works' : 'refused',
    advice: 'A seccomp filter forbids it; use one that allows process_vm_readv and process_vm_writev.',
    refuses: ['reach'],
  };
}

/** The security module that judges what this process does, if one does. */
function confinement(): Condition {
  const { module, label } = securityLabel();
  const isConfined = module !== undefined && !UNCONFINED[module].test(label);
  return {
    what: module ?? 'AppArmor, SELinux',
    state: isConfined ? 'limited' : 'ok',
    found: module === undefined ? 'not in use' : label,
    advice:
      'This profile may forbid to mount, and to reach clients that are not under the same one; in a container: ' +
      `docker run --security-opt ${module === 'SELinux' ? 'label=disable' : 'apparmor=unconfined'}.`,
    refuses: isConfined ? ['confined mount', 'look', 'reach', 'install'] : [],
  };
}

/** Labels of what is left alone: profiles that enforce nothing, types of SELinux's reference policy that may do all. */
const UNCONFINED = {
  AppArmor: /^unconfined$|\((complain|unconfined)\)$/,
  SELinux: /:(unconfined_t|unconfined_service_t|initrc_t|init_t|kernel_t|spc_t)(:|$)/,
} as const;

function securityLabel(): { readonly module: keyof typeof UNCONFINED | undefined; readonly label: string } {
  const apparmor = readTrimmed('/proc/self/attr/apparmor/current');
  if (apparmor !== undefined) return { module: 'AppArmor', label: apparmor };
  const label = readTrimmed('/proc/self/attr/current') ?? '';
  return { module: label.split(':').length >= 3 ? 'SELinux' : undefined, label };
}

/** Whoever is under a filter may not suspend those of others. */
function seccomp(): Condition {
  const isFiltered = /^Seccomp:\s*2$/m.test(readFileSync('/proc/self/status', 'latin1'));
  return {
    what: 'seccomp',
    state: isFiltered ? 'limited' : 'ok',
    found: isFiltered ? 'under a filter' : 'no filter',
    advice:
      'Clients that have seccomp filters of their own cannot receive descriptors; in a container: ' +
      'docker run --security-opt seccomp=unconfined.',
    refuses: isFiltered ? ['mount', 'reach', 'install'] : [],
  };
}

function pidNamespace(): Condition {
  const isInitial = readlinkSync('/proc/self/ns/pid') === INITIAL_NAMESPACES.pid;
  return {
    what: 'pid namespace',
    state: isInitial ? 'ok' : 'limited',
    found: isInitial ? 'of the host' : 'of a container',
    advice: 'Only clients in this container, or in ones inside it, are served; for others: docker run --pid=host.',
    refuses: [],
  };
}

/** Whether --latency has an effect: it needs a driver that chooses how deeply an idle CPU sleeps. */
function wakeUps(): Condition {
  const driver = readTrimmed('/sys/devices/system/cpu/cpuidle/current_driver') ?? 'none';
  const canAsk = existsSync(PM_QOS_FILE);
  return {
    what: 'waking CPUs',
    state: canAsk && driver !== 'none' ? 'ok' : 'limited',
    found: `${canAsk ? '' : `no ${PM_QOS_FILE}, `}cpuidle driver ${driver}`,
    advice:
      '--latency has no effect here. What always helps is one CPU for the daemon and its clients: taskset, AllowedCPUs=, ' +
      'docker run --cpuset-cpus; in a KVM guest also halt polling, /sys/module/haltpoll/parameters/guest_halt_poll_ns; ' +
      `in a container docker run --device ${PM_QOS_FILE}.`,
    refuses: [],
  };
}

function readTrimmed(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1').replace(/[\0\s]+$/, '');
  } catch {
    return undefined;
  }
}
