import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Daemon, run } from '../support/bus1fs.js';
import { compiler } from '../support/compile.js';

/** A test client, and how it is compiled and run. */
interface Client {
  readonly title: string;
  readonly source: string;
  readonly flags?: readonly string[];
  /** Options of the mount. */
  readonly options?: readonly string[];
  /** The command it runs under. */
  readonly under?: readonly string[];
  /** Cases that do not hold there. */
  readonly except?: readonly string[];
}

/** As a container engine arranges it, short of a root file system. */
const CONTAINER = ['unshare', '--pid', '--fork', '--net', '--mount', '--uts', '--ipc', '--cgroup'];

/** Runs a program on a bind mount of the device file, so that all it opens is one inode. */
const BIND_MOUNT = ['unshare', '--mount', 'sh', '-c', 'mount --bind "$1" /dev/full && exec "$0" /dev/full "$2"'];
/** The file is no character device there, pools are shared, and other users are kept out. */
const NOT_ON_ONE_INODE = ['looks_like_a_character_device', 'pool_mappings', 'another_users_share_is_bounded'];

const CLIENTS: readonly Client[] = [
  { title: 'peers', source: 'peers' },
  { title: 'handles', source: 'handles' },
  { title: 'messages', source: 'messages' },
  { title: 'processes', source: 'processes' },
  { title: 'descriptors', source: 'descriptors' },
  { title: 'descriptors, static', source: 'descriptors', flags: ['-static'] },
  { title: 'descriptors, in a container', source: 'descriptors', under: CONTAINER },
  { title: 'messages, in a container', source: 'messages', under: CONTAINER },
  ...['peers', 'handles', 'messages', 'processes', 'descriptors'].map((source) => ({
    title: `${source}, on a bind mount of the file`,
    source,
    under: BIND_MOUNT,
    except: NOT_ON_ONE_INODE,
  })),
  { title: '32-bit programs', source: 'compat', flags: ['-m32'] },
  { title: 'siblings', source: 'siblings' },
  { title: 'large', source: 'large', options: ['--max-inflight-bytes', String(128 * 1024 * 1024)] },
];

const warmUp = compiler.compile('clients/descriptors.c', 'warm-up');

// All cases of a client share one daemon, so that what one leaves behind hurts the next.
for (const [i, { title, source, flags = [], options = [], under = [], except = [] }] of CLIENTS.entries()) {
  const program = compiler.compile(`clients/${source}.c`, `${source}-${i}`, ...flags);
  const all = execFileSync(program, ['--list'], { encoding: 'utf8' }).trim().split('\n');
  const cases = all.filter((name) => !except.includes(name));
  describe(title, () => {
    let daemon: Daemon;
    let descriptors: number;

    beforeAll(async () => {
      daemon = await Daemon.start(['--no-link', ...options]);
      await run(warmUp, [daemon.device, 'errors_of_send']); // starts the thread that closes
      descriptors = await daemon.descriptors();
    });

    afterAll(async () => {
      expect(await daemon.stop()).toBe(0);
    });

    test.each(cases)('%s', async (name) => {
      const [command = '', ...args] = [...under, program, daemon.device, name];
      const outcome = await run(command, args);
      const { log } = daemon;
      expect({ ...outcome, internalErrors: log.match(/.*internal error.*/g) }, log).toEqual({
        status: 0,
        signal: null,
        stdout: '',
        stderr: '',
        internalErrors: null,
      });
    });

    test('all of it leaves nothing behind in the daemon', async () => {
      await expect.poll(() => daemon.descriptors(), { timeout: 5000 }).toBe(descriptors);
      const { bus1, devicePid } = await daemon.status();
      expect(bus1.peers).toEqual([]);
      expect(processesOf(devicePid)).toEqual([]);
    });
  });
}

/** The processes that a process is the parent or the tracer of, zombies included. */
function processesOf(pid: number): string[] {
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return processes.filter((name) => {
    try {
      return new RegExp(`^(PPid|TracerPid):\\s*${pid}$`, 'm').test(readFileSync(`/proc/${name}/status`, 'latin1'));
    } catch {
      return false; // it has ended meanwhile
    }
  });
}
