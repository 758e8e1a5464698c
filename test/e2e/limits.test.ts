import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { Daemon, run } from '../support/bus1fs.js';
import { whyNoNamespaces } from '../support/chroot.js';
import { compiler } from '../support/compile.js';
import { temporaryDirectory } from '../support/temporary.js';

const limits = compiler.compile('clients/limits.c', 'limits');
const MIB = 1 << 20;
const SILENT_SUCCESS = { status: 0, signal: null, stdout: '', stderr: '' };

/** The lines that a daemon has logged of exceeded quotas. */
const refusals = ({ log }: Daemon): string[] =>
  log
    .split('\n')
    .filter((line) => line.includes('quota exceeded'))
    .map((line) => (JSON.parse(line) as { msg: string }).msg);

/** A /proc whose vm.max_map_count is another, for the daemon alone, whose mount all the same is seen everywhere. */
function withMaxMapCount(count: number): string[] {
  const file = join(temporaryDirectory('proc'), 'max_map_count');
  writeFileSync(file, `${count}\n`);
  const script =
    'mount --make-private /proc && mount -t proc proc /proc && mount --bind "$0" /proc/sys/vm/max_map_count && exec "$@"';
  return ['unshare', '--mount', '--propagation', 'unchanged', 'sh', '-c', script, file];
}

/** Where what is mounted by a process with mounts of its own is seen by others. */
async function sharedDirectory(): Promise<string> {
  const shared = temporaryDirectory('shared');
  await run('mount', ['--bind', '--make-shared', shared, shared]);
  onTestFinished(async () => {
    await run('umount', ['-l', shared]);
  });
  return shared;
}

interface Case {
  readonly name: string;
  readonly options?: readonly string[];
  readonly under?: () => readonly string[];
  readonly needsNamespaces?: boolean;
  /** What the log says of it. */
  readonly refused?: RegExp;
}

const CASES: readonly Case[] = [
  {
    name: 'peers_of_a_user',
    options: ['--max-peers', '20'],
    refused: /thread \d+ \(uid 4321, limits\) .* 1 more peers of uid 4321, .* has 20 of 20 in use; .* --max-peers$/,
  },
  {
    name: 'peers_of_all_users',
    under: () => withMaxMapCount(400),
    needsNamespaces: true,
    refused: /uid 4321.* all users have 150 of 300 in use, .*vm\.max_map_count/,
  },
  {
    name: 'held_bytes_of_a_user',
    options: ['--max-held-bytes', `${MIB}`],
    refused: /\(uid 4321, pid \d+, .*heldBytes of peer .* user has 1048576 of 1048576 in use; .* --max-held-bytes$/,
  },
  {
    name: 'held_bytes_of_all_users',
    options: ['--max-total-held-bytes', `${4 * MIB}`],
    refused: /uid 4322.*all users have 3145728 of 4194304 in use, .* --max-total-held-bytes$/,
  },
  {
    name: 'slices_of_a_service',
    options: ['--max-slices', '64'],
    refused: /uid 4321.* 1 more slices of peer \d+ \(uid 0.*whose share has 32 of 64 in use; .* --max-slices$/,
  },
  {
    name: 'handles_of_a_service',
    options: ['--max-slices', '64', '--max-handles', '1024'],
    refused: /uid 4324.* 16 more handles of peer \d+ \(uid 0.*whose share has 497 of 1024 .* --max-handles$/,
  },
  {
    name: 'descriptors_of_a_user',
    under: () => ['prlimit', '--nofile=400', '--'],
    refused: /uid 4321.* 151 more descriptors of peer .*all users have 0 of 300 in use, .*ulimit -n/,
  },
  {
    name: 'peers_without_a_map',
    under: () => ['prlimit', '--nofile=400', '--'],
    needsNamespaces: true,
    refused: /uid 4321.* 2 more descriptors of uid 4321, .*all users have 150 of 300 in use, .*ulimit -n/,
  },
  { name: 'memory_of_a_closed_peer_is_given_back' },
];

describe('what one user takes is bounded, and others have theirs', () => {
  for (const { name, options = [], under, needsNamespaces = false, refused } of CASES) {
    test(name, async ({ skip }) => {
      skip(needsNamespaces && whyNoNamespaces !== undefined, whyNoNamespaces);
      const directory = needsNamespaces ? join(await sharedDirectory(), 'm') : temporaryDirectory('mount');
      const daemon = await Daemon.startAt(directory, ['--no-link', '--log-format', 'json', ...options], [], under?.());
      expect(await run(limits, [daemon.device, name]), daemon.log).toEqual(SILENT_SUCCESS);
      if (refused !== undefined) expect(refusals(daemon)).toContainEqual(expect.stringMatching(refused));
      // nothing is left of it
      const { bus1 } = await daemon.status();
      expect(bus1).toMatchObject({ users: [], peers: [] });
      for (const resource of ['peers', 'slices', 'handles', 'heldBytes', 'warmBytes'] as const) {
        expect(bus1.totals[resource].used, resource).toBe(0);
      }
      await expect.poll(async () => (await daemon.status()).bus1.totals.descriptors.used).toBe(0);
      expect(await daemon.stop()).toBe(0);
    });
  }
});

/** A control group for memory, of version 1 or 2, with a limit; or why there can be none. */
class MemoryGroup {
  readonly directory: string;
  private readonly isUnified: boolean;

  private constructor(directory: string, isUnified: boolean) {
    this.directory = directory;
    this.isUnified = isUnified;
  }

  static create(limit: number): MemoryGroup | string {
    const name = `bus1fs-test-${process.pid}`;
    for (const isUnified of [false, true]) {
      const group = new MemoryGroup(join('/sys/fs/cgroup', isUnified ? '' : 'memory', name), isUnified);
      try {
        mkdirSync(group.directory);
        writeFileSync(group.file(isUnified ? 'memory.max' : 'memory.limit_in_bytes'), `${limit}`);
        return group;
      } catch {
        group.remove();
      }
    }
    return 'no control group for memory can be made here';
  }

  private file(name: string): string {
    return join(this.directory, name);
  }

  /** The command to run another one under, in this group. */
  get enter(): string[] {
    return ['sh', '-c', 'echo $$ > "$0" && exec "$@"', this.file('cgroup.procs')];
  }

  /** How many processes were killed since it has no more memory. */
  get kills(): number {
    const text = readFileSync(this.file(this.isUnified ? 'memory.events' : 'memory.oom_control'), 'latin1');
    return Number(/^oom_kill (\d+)$/m.exec(text)?.[1]);
  }

  remove(): void {
    try {
      rmdirSync(this.directory);
    } catch {
      // it is not there
    }
  }
}

describe('a daemon in a control group of 256 MiB', () => {
  const group = MemoryGroup.create(256 * MIB);

  afterAll(() => {
    if (typeof group === 'object') group.remove();
  });

  test('refuses who would take more, and nobody is killed', async ({ skip }) => {
    skip(typeof group === 'string', `${group}`);
    if (typeof group === 'string') return;
    const daemon = await Daemon.start(['--no-link'], [], group.enter);
    expect((await daemon.status()).bus1.totals.heldBytes.max).toBe(128 * MIB);
    expect(await run(limits, [daemon.device, 'nobody_has_the_memory_of_the_daemon']), daemon.log).toEqual(
      SILENT_SUCCESS,
    );
    expect(group.kills).toBe(0);
    expect(await daemon.stop()).toBe(0);
  });
});
