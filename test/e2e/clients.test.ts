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
  /** The command the daemon runs under. */
  readonly daemonUnder?: readonly string[];
  /** Whether the daemon gets no traffic before. */
  readonly isCold?: boolean;
  /** Which of its cases, if not all. */
  readonly only?: readonly string[];
  /** Cases that do not hold there. */
  readonly except?: readonly string[];
}

/** Cases that do not hold yet. */
const PENDING: ReadonlySet<string> = new Set(['a_namespace_of_the_same_number_is_another_one']);

/** As a container engine arranges it, short of a root file system. */
const CONTAINER = ['unshare', '--pid', '--fork', '--net', '--mount', '--uts', '--ipc', '--cgroup'];

/** Runs a program on a bind mount of the device file, so that all it opens is one inode. */
const BIND_MOUNT = ['unshare', '--mount', 'sh', '-c', 'mount --bind "$1" /dev/full && exec "$0" /dev/full "$2"'];
/** The file is no character device there, and is mounted on; pools are shared, and other users are kept out. */
const NOT_ON_ONE_INODE = [
  'looks_like_a_character_device',
  'stays_what_it_is',
  'pool_mappings',
  'another_users_share_is_bounded',
];
/** Fills the daemon's descriptors, of which it must have no more than the quota allows in flight. */
const EXHAUSTION_BY_CLIENTS = 'what_clients_took_they_can_give_back';

/** As a user without privileges, under whom nothing of root's can be read. */
const ANOTHER_USER = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--'];
/** Cases that become other users themselves, make pid namespaces, or are about the owner of the directory. */
const TAKES_PRIVILEGES = [
  'stays_what_it_is',
  'credentials_are_those_of_the_sending_thread',
  'an_invisible_sender_is_0',
  'a_namespace_of_the_same_number_is_another_one',
  'ids_change_between_messages',
  'another_users_share_is_bounded',
  'a_table_that_is_almost_full',
  'an_unprivileged_process',
];

/** Runs a program on a mount of the directory that is read-only, where opening for writing is EROFS. */
const READ_ONLY = [
  ...['unshare', '--mount', 'sh', '-c'],
  'mount --bind "$(dirname "$1")" /mnt && mount -o remount,bind,ro /mnt && exec "$0" /mnt/bus1 "$2"',
];
/** Cases that are about writing. */
const NOT_FOR_READING = [
  'open_with_any_mode',
  'looks_like_a_character_device',
  'stays_what_it_is',
  'read_write_and_seek',
  'transfer_to_a_peer_of_every_access_mode',
];

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
  ...['peers', 'handles', 'messages', 'processes', 'descriptors'].map((source) => ({
    title: `${source}, as another user`,
    source,
    under: ANOTHER_USER,
    except: TAKES_PRIVILEGES,
  })),
  ...['peers', 'handles', 'messages', 'descriptors'].map((source) => ({
    title: `${source}, opened for reading on a read-only mount`,
    source,
    flags: ['-DPEER_ACCESS=O_RDONLY'],
    under: READ_ONLY,
    except: NOT_FOR_READING,
  })),
  { title: '32-bit programs', source: 'compat', flags: ['-m32'] },
  { title: 'siblings', source: 'siblings' },
  { title: 'large', source: 'large', options: ['--max-inflight-bytes', String(2 ** 31 - 1)] },
  { title: 'directory', source: 'directory' },
  { title: 'exhaustion', source: 'exhaustion', except: [EXHAUSTION_BY_CLIENTS] },
  {
    title: 'exhaustion by clients',
    source: 'exhaustion',
    daemonUnder: ['prlimit', '--nofile=200', '--'],
    isCold: true,
    only: [EXHAUSTION_BY_CLIENTS],
  },
];

const warmUp = compiler.compile('clients/descriptors.c', 'warm-up');

// All cases of a client share one daemon, so that what one leaves behind hurts the next.
for (const [i, { title, source, flags = [], options = [], under = [], ...client }] of CLIENTS.entries()) {
  const program = compiler.compile(`clients/${source}.c`, `${source}-${i}`, ...flags);
  const all = execFileSync(program, ['--list'], { encoding: 'utf8' }).trim().split('\n');
  const cases = (client.only ?? all).filter((name) => !client.except?.includes(name));
  describe(title, () => {
    let daemon: Daemon;
    let descriptors: number;

    beforeAll(async () => {
      daemon = await Daemon.start(['--no-link', ...options], [], client.daemonUnder);
      // starts whoever closes descriptors, and ends when they have done it
      if (!client.isCold) await run(warmUp, [daemon.device, 'flush_and_close_drop_them']);
      descriptors = await daemon.descriptors();
    });

    afterAll(async () => {
      expect(await daemon.stop()).toBe(0);
    });

    const check = async (name: string) => {
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
    };

    for (const name of cases) (PENDING.has(name) ? test.fails : test)(name, () => check(name));

    test('all of it leaves nothing behind in the daemon', async () => {
      await expect.poll(() => daemon.descriptors(), { timeout: 20_000 }).toBe(descriptors);
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
