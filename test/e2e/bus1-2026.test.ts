import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as abi from '../../src/bus1/2026/abi-2026.js';
import { MessageType } from '../../src/bus1/2026/model/message-2026.js';
import { bus1fs, Daemon, run } from '../support/bus1fs.js';
import { compiler, INCLUDE_DIR, ROOT } from '../support/compile.js';
import { temporaryDirectory } from '../support/temporary.js';

/** Runs a program on a bind mount of the device file, so that all it opens is one inode. */
const BIND_MOUNT = ['unshare', '--mount', 'sh', '-c', 'mount --bind "$1" /dev/full && exec "$0" /dev/full "$2"'];
/** Other users are kept out there. */
const OF_ONE_USER_ONLY = [
  'a_peer_passed_by_descriptor_gets_handles',
  'the_account_is_whoever_opened_the_sender',
  'another_users_share_is_bounded',
];

const CLIENTS: readonly {
  readonly title: string;
  readonly source: string;
  readonly flags?: readonly string[];
  readonly under?: readonly string[];
  readonly except?: readonly string[];
}[] = [
  { title: 'commands', source: 'bus1-2026' },
  { title: 'commands, 32-bit', source: 'bus1-2026', flags: ['-m32'] },
  { title: 'commands, on a bind mount of the file', source: 'bus1-2026', under: BIND_MOUNT },
  { title: 'processes', source: 'bus1-2026-processes' },
  { title: 'processes, 32-bit', source: 'bus1-2026-processes', flags: ['-m32'] },
  {
    title: 'processes, on a bind mount of the file',
    source: 'bus1-2026-processes',
    under: BIND_MOUNT,
    except: OF_ONE_USER_ONLY,
  },
];

// All cases of a client share one daemon, so that what one leaves behind hurts the next.
for (const [i, { title, source, flags = [], under = [], except = [] }] of CLIENTS.entries()) {
  const program = compiler.compile(`clients/${source}.c`, `${source}-${i}`, ...flags);
  const all = execFileSync(program, ['--list'], { encoding: 'utf8' })
    .trim()
    .split('\n')
    // its limit is one for which a test takes minutes on a busy machine; the model's unit tests have it
    .filter((name) => name !== 'objects_are_limited');
  describe(title, () => {
    let daemon: Daemon;
    let other: Daemon;
    let descriptors: number;

    beforeAll(async () => {
      daemon = await Daemon.start();
      other = await Daemon.start();
      descriptors = await daemon.descriptors();
    });

    afterAll(async () => {
      expect([await daemon.stop(), await other.stop()]).toEqual([0, 0]);
    });

    test.each(all.filter((name) => !except.includes(name)))('%s', async (name) => {
      const environment = `OTHER_DEVICE=${other.device}`;
      const outcome = await run('env', [environment, ...under, program, daemon.device, name]);
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
      await expect.poll(async () => (await daemon.status()).bus1.peers, { timeout: 5000 }).toEqual([]);
      await expect.poll(() => daemon.descriptors(), { timeout: 5000 }).toBe(descriptors);
    });
  });
}

/** fuse-native serves the file that hangs; it needs Debian's libfuse2. */
function hasFuseNative(): boolean {
  try {
    createRequire(import.meta.url)('fuse-native');
    return true;
  } catch {
    return false;
  }
}

test.runIf(hasFuseNative())(
  'a RECV into memory that never arrives holds up nobody else, and loses nothing',
  async () => {
    const hanging = compiler.compile('clients/bus1-2026-hanging.c', 'bus1-2026-hanging');
    const others = compiler.compile('clients/bus1-2026.c', 'bus1-2026-others');
    const directory = temporaryDirectory('hanging');
    const server = spawn('setpriv', [
      ...['--pdeathsig', 'KILL', '--', process.execPath, '--import', 'tsx'],
      ...[join(ROOT, 'test/support/hanging-fs.ts'), directory],
    ]);
    const daemon = await Daemon.start();
    try {
      await once(server.stdout, 'data');
      const client = spawn(hanging, [daemon.device, join(directory, 'hang')]);
      let output = '';
      client.stdout.on('data', (data) => {
        output += data;
      });
      const exited = once(client, 'exit');
      await once(client.stdout, 'data');
      expect(await run(others, [daemon.device, 'multicast_is_atomic'])).toMatchObject({ status: 0, stdout: '' });
      expect(output).toBe('receiving\n');
      server.kill('SIGKILL');
      await run('umount', ['-l', directory]);
      expect(await exited).toEqual([0, null]);
      expect(output).toBe('receiving\nEFAULT\nstill there\n');
      expect(await daemon.stop()).toBe(0);
    } finally {
      server.kill('SIGKILL');
      await run('umount', ['-l', directory]);
    }
  },
);

describe('bus1fs status', () => {
  test('shows of what ABI a peer is, and what it has', async () => {
    const daemon = await Daemon.start();
    try {
      const program = compiler.compile('clients/bus1-2026-holder.c', 'bus1-2026-holder');
      const holder = spawnSync(program, [
        daemon.device,
        process.execPath,
        join(ROOT, 'dist/cli/main.js'),
        'status',
        daemon.directory,
      ]);
      const rows = holder.stdout
        .toString()
        .split('\n')
        .filter((line) => line.includes('bus1-2026-holde'));
      expect(holder.stderr.toString()).toBe('');
      expect(
        rows.map((row) =>
          row
            .trim()
            .replace(/ +/g, ' ')
            .replace(/^\d+ \d+ /, ''),
        ),
      ).toEqual([
        'bus1-2026-holde 0 - connected 0 0 0 0 0',
        'bus1-2026-holde 0 2016 connected 1 1 0 0 0',
        'bus1-2026-holde 0 2026 connected 1 2 1 - 5',
      ]);
    } finally {
      await daemon.stop();
    }
  });
});

/** Flattens a layout to the names that test/clients/bus1-2026-abi.c prints. */
const fields = (type: string, layout: Readonly<Record<string, number>>) =>
  Object.entries(layout).map(([name, offset]) => [`${type}.${name}`, offset] as const);
const values = (prefix: string, names: Readonly<Record<string, number>>) =>
  Object.entries(names).map(([name, value]) => [`${prefix}${name}`, value] as const);

describe('linux/bus1-2026.h', () => {
  test.each(['', '-m32'])('every number is the one in TypeScript %s', (flag) => {
    const flags = flag === '' ? [] : [flag];
    const program = compiler.compile('clients/bus1-2026-abi.c', `bus1-2026-abi${flag}`, ...flags);
    const lines = execFileSync(program, { encoding: 'utf8' }).trim().split('\n');
    const header = lines.map((line) => line.split(' ')).map(([name = '', value]) => [name, Number(value)] as const);
    expect(Object.fromEntries(header)).toEqual(
      Object.fromEntries([
        ['BUS1_INVALID', 2 ** 64],
        ['BUS1_MANAGED', 1],
        ['_BUS1_MESSAGE_TYPE_N', Object.keys(MessageType).length],
        ...values('BUS1_TRANSFER_FLAG_', abi.TransferFlag),
        ...values('BUS1_MESSAGE_TYPE_', MessageType),
        ...values('BUS1_CMD_', abi.Command),
        ...fields('bus1_transfer', abi.TransferEntry),
        ...fields('bus1_metadata', abi.Metadata),
        ...fields('bus1_message', abi.MessageStruct),
        ...fields('bus1_cmd_transfer', abi.Transfer),
        ...fields('bus1_cmd_release', abi.Release),
        ...fields('bus1_cmd_send', abi.Send),
        ...fields('bus1_cmd_recv', abi.Recv),
      ]),
    );
  });

  test('the command numbers are the contract’s', () => {
    expect(abi.Command).toEqual({ TRANSFER: 0xc0289700, RELEASE: 0xc0189701, SEND: 0xc0289702, RECV: 0xc0189703 });
  });

  const source = (head: string): string =>
    `${head}#include <linux/bus1-2026.h>
     int main() {
       struct bus1_cmd_recv r = { 0, 0, 0 };
       enum bus1_message_type type = BUS1_MESSAGE_TYPE_USER;
       r.ptr_message = BUS1_FROM_PTR(&r);
       return BUS1_TO_PTR(r.ptr_message) == &r ? (int)type : _BUS1_MESSAGE_TYPE_N;
     }\n`;
  const check = (language: string, standard: string, input: string, ...flags: readonly string[]): string => {
    const warnings = ['-Wall', '-Wextra', '-Wpedantic', '-Werror', '-fsyntax-only'];
    const args = [...warnings, ...flags, standard, '-I', INCLUDE_DIR, '-x', language === 'g++' ? 'c++' : 'c', '-'];
    return spawnSync(language, args, { input, cwd: ROOT, encoding: 'utf8' }).stderr;
  };

  test.each([
    ['gcc', '-std=c99', '-m64'],
    ['gcc', '-std=c99', '-m32'],
    ['g++', '-std=c++11', '-m64'],
    ['g++', '-std=c++11', '-m32'],
  ])('is clean for %s %s %s', (language, standard, flag) => {
    expect(check(language, standard, source(''), flag)).toBe('');
  });

  test('says that it cannot be used beside linux/bus1.h', () => {
    expect(check('gcc', '-std=c99', source('#include <linux/bus1.h>\n'))).toContain(
      'cannot be used in one source file',
    );
  });

  test('is all in the document about it', () => {
    const document = readFileSync(join(ROOT, 'docs/bus1-2026.md'), 'utf8');
    const header = readFileSync(join(INCLUDE_DIR, 'linux/bus1-2026.h'), 'utf8');
    const names = [...header.matchAll(/^#define (BUS1_\w+)|^\t(BUS1_\w+)|^\t__u64 (\w+);/gm)]
      .map(([, macro, constant, field]) => macro ?? constant ?? field ?? '')
      .filter((name) => name !== 'BUS1_IOCTL_MAGIC');
    expect(names.length).toBeGreaterThan(35);
    const isThere = (name: string): boolean =>
      name.startsWith('BUS1_CMD_')
        ? document.includes(`\n## ${name.replace('BUS1_CMD_', '')}\n`)
        : new RegExp(`\\b${name}\\b`).test(document);
    expect(names.filter((name) => !isThere(name))).toEqual([]);
  });
});

test('bus1fs include-dir has the header', async () => {
  const { stdout } = await bus1fs('include-dir');
  expect(readFileSync(join(stdout.trim(), 'linux/bus1-2026.h'), 'utf8')).toContain('BUS1_CMD_TRANSFER');
});
