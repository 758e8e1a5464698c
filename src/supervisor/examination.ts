import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, readlinkSync, readSync, rmdirSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../base/expected-error.js';
import { FUSE_PASSTHROUGH_FLAGS2, InitIn } from '../fuse/fuse-abi.js';
import { processVmReadv } from '../linux/memory.js';
import { MNT_DETACH, mount, unmount } from '../linux/mount-table.js';
import { IOVEC_SIZE, NativeBuffer } from '../linux/native-buffer.js';
import { pathQueries } from '../linux/syscalls.js';
import { PM_QOS_FILE } from './latency.js';

/** One thing the daemon needs, and whether it is here. "limited" means it runs, but something does not work. */
export interface Finding {
  readonly what: string;
  readonly state: 'ok' | 'limited' | 'missing';
  readonly found: string;
  /** What to do about it. */
  readonly advice: string;
}

/** PROC_PID_INIT_INO, include/linux/proc_ns.h. */
const INITIAL_PID_NAMESPACE = 'pid:[4026531836]';
const CAPABILITIES = { CAP_KILL: 5, CAP_SYS_PTRACE: 19, CAP_SYS_ADMIN: 21 } as const;
const LEAST_KERNEL = [6, 9] as const;

/** Looks at everything the daemon depends on. Mounts and unmounts a file system in passing, if it may. */
export function examine(): readonly Finding[] {
  return [
    kernel(),
    architecture(),
    fuseDevice(),
    ...Object.entries(CAPABILITIES).map(([name, bit]) => capability(name, bit)),
    passthrough(),
    memoryAccess(),
    ptrace(),
    pidNamespace(),
    wakeUps(),
  ];
}

function kernel(): Finding {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  const isNew = major > LEAST_KERNEL[0] || (major === LEAST_KERNEL[0] && minor >= LEAST_KERNEL[1]);
  return {
    what: 'kernel',
    state: isNew ? 'ok' : 'missing',
    found: release(),
    advice: `Linux ${LEAST_KERNEL.join('.')} or newer is needed, for FUSE passthrough.`,
  };
}

function architecture(): Finding {
  return {
    what: 'architecture',
    state: pathQueries.size > 0 && process.arch === 'x64' ? 'ok' : 'missing',
    found: process.arch,
    advice: 'Only x86-64 is supported so far.',
  };
}

function fuseDevice(): Finding {
  const finding = {
    what: '/dev/fuse',
    advice: 'Load it (modprobe fuse); in a container: docker run --device /dev/fuse.',
  };
  try {
    closeSync(openSync('/dev/fuse', 'r+'));
    return { ...finding, state: 'ok', found: 'can be opened' };
  } catch (error) {
    return { ...finding, state: 'missing', found: messageOf(error) };
  }
}

function capability(name: string, bit: number): Finding {
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0';
  const has = ((BigInt(`0x${mask}`) >> BigInt(bit)) & 1n) === 1n;
  return {
    what: name,
    state: has ? 'ok' : name === 'CAP_KILL' ? 'limited' : 'missing',
    found: has ? 'held' : 'not held',
    advice: `${CAPABILITY_USES[name] ?? ''} Run as root; in a container: docker run --cap-add ${name.slice(4)}.`,
  };
}

const CAPABILITY_USES: Readonly<Record<string, string>> = {
  CAP_KILL: 'Without it, a client of another user whose memory never arrives cannot be killed.',
  CAP_SYS_PTRACE: 'It is needed to read and write the memory of clients.',
  CAP_SYS_ADMIN: 'It is needed to mount, and for FUSE passthrough.',
};

function passthrough(): Finding {
  const advice = 'The kernel must be built with CONFIG_FUSE_PASSTHROUGH, and mounting must be allowed.';
  const offer = offeredFlags2();
  if (typeof offer === 'string') return { what: 'passthrough', state: 'missing', found: offer, advice };
  const isOffered = (offer & FUSE_PASSTHROUGH_FLAGS2) !== 0;
  return {
    what: 'passthrough',
    state: isOffered ? 'ok' : 'missing',
    found: isOffered ? 'offered' : 'not offered',
    advice,
  };
}

/** The flags the kernel offers in its first request to a new mount, or why that could not be found out. */
function offeredFlags2(): number | string {
  const directory = mkdtempSync(join(tmpdir(), 'bus1fs-doctor-'));
  try {
    const fuse = openSync('/dev/fuse', 'r+');
    try {
      const error = -mount('bus1fs', directory, 'fuse.bus1fs', 0, `fd=${fuse},rootmode=40755,user_id=0,group_id=0`);
      if (error !== 0) return `mounting failed with errno ${error}`;
      const request = new NativeBuffer(8192);
      readSync(fuse, request.u8);
      unmount(directory, MNT_DETACH);
      return request.u32(InitIn.flags2);
    } finally {
      closeSync(fuse);
    }
  } catch (error) {
    return messageOf(error);
  } finally {
    rmdirSync(directory);
  }
}

function memoryAccess(): Finding {
  const source = new NativeBuffer(1);
  const vectors = new NativeBuffer(IOVEC_SIZE);
  vectors.setIovec(0, source.address, 1);
  const works = processVmReadv(process.pid, vectors.address, 1, vectors.address, 1, 0) === 1;
  return {
    what: 'process_vm_readv',
    state: works ? 'ok' : 'missing',
    found: works ? 'works' : 'refused',
    advice: 'A seccomp profile forbids it; use one that allows process_vm_readv and process_vm_writev.',
  };
}

function ptrace(): Finding {
  const scope = readTrimmed('/proc/sys/kernel/yama/ptrace_scope') ?? 'absent'; // no Yama, nothing forbidden
  return {
    what: 'ptrace (Yama)',
    state: scope === '3' ? 'limited' : 'ok',
    found: scope === 'absent' ? 'no Yama' : `ptrace_scope ${scope}`,
    advice: 'ptrace_scope 3 forbids handing descriptors to clients; it can only be lowered by a reboot.',
  };
}

function pidNamespace(): Finding {
  const isInitial = readlinkSync('/proc/self/ns/pid') === INITIAL_PID_NAMESPACE;
  return {
    what: 'pid namespace',
    state: isInitial ? 'ok' : 'limited',
    found: isInitial ? 'of the host' : 'of a container',
    advice: 'Only clients in this container, or in ones inside it, are served; for others: docker run --pid=host.',
  };
}

/** Whether --latency has an effect: it needs a driver that chooses how deeply an idle CPU sleeps. */
function wakeUps(): Finding {
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
  };
}

function readTrimmed(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1').trim();
  } catch {
    return undefined;
  }
}
