import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DaemonStatus } from '../../src/engine/daemon-status.js';
import { NEEDED_CAPABILITIES } from '../../src/supervisor/capabilities.js';
import { bus1fs, Daemon, isMounted, type Outcome, run } from '../support/bus1fs.js';
import { compiler, ROOT } from '../support/compile.js';
import { temporaryDirectory } from '../support/temporary.js';
import { Engine } from './engine.js';
import { Podman } from './podman.js';

const IMAGE = 'bus1-clients';
const BASE = 'node-here';
const DAEMON = 'bus1fs';
const COMPILER = 'gcc-here';
/** The least that a daemon in a container needs, as the documents have it. */
const PRIVILEGES = [
  ...['--device', '/dev/fuse', '--security-opt', 'apparmor=unconfined', '--cap-drop', 'ALL'],
  ...NEEDED_CAPABILITIES.flatMap((name) => ['--cap-add', name.slice('CAP_'.length)]),
];
/** What the doctor needs to become another user. */
const CHANGE_USER = ['--cap-add', 'SETUID', '--cap-add', 'SETGID'];
const CLIENTS = ['peers', 'handles', 'messages', 'processes', 'descriptors'] as const;

const programs = new Map(
  [...CLIENTS, 'demo', 'holder', 'meet'].map((name) => [name, compiler.compile(`clients/${name}.c`, name, '-static')]),
);

let engine: Engine;
let clientRoot: string;

beforeAll(async () => {
  engine = await Engine.start();
  clientRoot = await engine.makeClientImage(IMAGE, [...programs.values()]);
  await engine.makeNodeImage(BASE);
  await engine.build('docker/Dockerfile', DAEMON, BASE);
  await engine.makeCompilerImage(COMPILER);
}, 120_000);

afterAll(async () => {
  await engine.stop();
}, 60_000);

describe('a daemon on the host', () => {
  let daemon: Daemon;
  let volume: string[];

  beforeAll(async () => {
    daemon = await Daemon.start();
    volume = ['--volume', `${daemon.directory}:/run/bus1`];
  });

  afterAll(async () => {
    expect(await daemon.stop()).toBe(0);
  });

  /** Runs a command in a container with nothing but the device's directory added to Docker's defaults. */
  const inContainer = (...command: readonly string[]) =>
    engine.docker('run', '--rm', '--network', 'none', ...volume, IMAGE, ...command);

  test('serves a program that opens /dev/bus1 in a container', async () => {
    const outcome = await inContainer('sh', '-c', 'ln -s /run/bus1/bus1 /dev/bus1 && demo');
    expect(outcome).toMatchObject({ status: 0, stdout: expect.stringContaining('all clients have left') });
  });

  test('serves a program through a bind mount of the device file alone', async () => {
    const outcome = await engine.docker(
      ...['run', '--rm', '--network', 'none', '--volume', `${daemon.device}:/dev/bus1`, IMAGE, 'demo'],
    );
    expect(outcome).toMatchObject({ status: 0, stdout: expect.stringContaining('all clients have left') });
  });

  test.each(CLIENTS)('every case of %s passes in a container', async (client) => {
    const program = programs.get(client) ?? '';
    const cases = execFileSync(program, ['--list'], { encoding: 'utf8' }).trim().split('\n');
    const script = cases
      .filter((name) => !NEEDS_MORE.has(name))
      .map((name) => `${basename(program)} /run/bus1/bus1 ${name} || echo FAILED ${name}`)
      .join('; ');
    expect(await inContainer('sh', '-c', script)).toMatchObject({ status: 0, stdout: '', stderr: '' });
  });

  test('two containers exchange messages and descriptors, and see each other as their namespaces allow', async () => {
    const meeting = ['--volume', `${temporaryDirectory('meeting')}:/meeting`];
    const run = (user: string, role: string) =>
      engine.docker(
        ...['run', '--rm', '--network', 'none', '--user', user, ...volume, ...meeting, IMAGE],
        ...['meet', '/run/bus1/bus1', '/meeting/socket', role],
      );
    const [server, visitor] = await Promise.all([run('0', 'serve'), run('0', 'visit')]);
    // the sender is in a sibling pid namespace, which the server's cannot see
    expect(server).toMatchObject({ status: 0, stdout: 'uid 0 pid 0 text hello\n', stderr: '' });
    expect(visitor).toMatchObject({ status: 0, stdout: 'through the pipe\n', stderr: '' });
  });

  test('a container cannot read the status of the daemon', async () => {
    const outcome = await inContainer('sh', '-c', 'ls -l /run/bus1 && busybox cat /run/bus1/status');
    expect(outcome).toMatchObject({ status: 1, stderr: expect.stringContaining('Permission denied') });
  });
});

/**
 * Cases that take what the daemon's container does not have: to become other users, to own the directory, and no seccomp
 * filter.
 */
const NOT_BESIDE_THE_DAEMON = new Set([
  'stays_what_it_is',
  'a_table_that_is_almost_full',
  'an_unprivileged_process',
  'under_a_seccomp_filter_of_its_own',
]);

/** Cases that need what Docker does not give to a container by default: clone(CLONE_NEWPID). */
const NEEDS_MORE = new Set([
  'an_invisible_sender_is_0',
  'a_namespace_of_the_same_number_is_another_one',
  'a_result_that_can_be_written_now_and_then',
]);

/** Runs something with a directory whose mounts propagate, as /run of a systemd machine does. */
async function withSharedDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = temporaryDirectory('shared');
  mkdirSync(join(directory, 'bus1'));
  await run('mount', ['--bind', directory, directory]);
  await run('mount', ['--make-shared', directory]);
  try {
    await use(directory);
  } finally {
    await run('umount', ['-l', directory]);
  }
}

test('a container outlives a restart of the daemon, if the mount may propagate to it', () =>
  withSharedDirectory(async (shared) => {
    const at = join(shared, 'bus1');
    const first = await Daemon.startAt(at);
    const options = ['--detach', '--network', 'none', '--volume', `${shared}:/shared:rslave`];
    const started = await engine.docker('run', ...options, IMAGE, 'sleep', '1000');
    const id = started.stdout.trim();
    const query = () => engine.docker('exec', id, 'holder', '/shared/bus1/bus1', 'query');
    expect((await query()).status).toBe(0);
    first.process.kill('SIGTERM');
    expect(await first.exit()).toBe(0);
    expect((await query()).status).not.toBe(0);
    const second = await Daemon.startAt(at);
    expect(await query()).toMatchObject({ status: 0, stdout: '16384 65536 16777216 4096\n' });
    await engine.docker('rm', '--force', id);
    second.process.kill('SIGTERM');
    expect(await second.exit()).toBe(0);
  }));

describe('the device by its CDI name', () => {
  const DEVICE = ['--device', 'bus1.dev/bus=bus1'];
  const engine = new Podman();

  beforeAll(async () => {
    expect(await engine.podman('import', clientRoot, IMAGE)).toMatchObject({ status: 0 });
  });

  afterAll(() => engine.stop());

  const specify = async (...args: readonly string[]): Promise<void> => {
    const { stdout } = await bus1fs('cdi', ...args, '--output', '-');
    engine.specify(stdout);
  };

  test('is all that a program needs to find /dev/bus1', async () => {
    const daemon = await Daemon.start();
    await specify(daemon.directory);
    const outcome = await engine.runIn(IMAGE, DEVICE, 'sh', '-c', 'ls -l /dev/bus1 && demo');
    expect(outcome).toMatchObject({ status: 0, stdout: expect.stringContaining('all clients have left') });
    expect(outcome.stdout).toContain(`/dev/bus1 -> ${daemon.device}`);
    expect(await daemon.stop()).toBe(0);
  });

  test('comes back after a restart of the daemon, if containers get the directory above the mount', () =>
    withSharedDirectory(async (shared) => {
      const at = join(shared, 'bus1');
      const first = await Daemon.startAt(at);
      await specify(at, '--bind', shared);
      const query = 'holder /dev/bus1 query';
      const step = (name: string): string => join(shared, name);
      const script = [
        `${query} && ln -s . ${step('works')}`,
        `while ${query}; do sleep 0.1; done; ln -s . ${step('fails')}`,
        `until ${query}; do sleep 0.1; done`,
      ];
      const container = engine.runIn(IMAGE, DEVICE, 'sh', '-c', script.join('; '));
      await expect.poll(() => existsSync(step('works')), { timeout: 20_000 }).toBe(true);
      expect(await first.stop()).toBe(0);
      await expect.poll(() => existsSync(step('fails')), { timeout: 20_000 }).toBe(true);
      const second = await Daemon.startAt(at);
      expect(await container).toMatchObject({ status: 0 });
      expect(await second.stop()).toBe(0);
    }));
});

describe('the image of docker/Dockerfile', () => {
  const clients = (): string[] => ['--volume', `${dirname(programs.get('demo') ?? '')}:/clients:ro`];

  test('serves the programs of its own container', async () => {
    const script =
      'bus1fs mount --daemon && /clients/demo && /clients/descriptors /dev/bus1 as_many_as_there_may_be && bus1fs umount';
    const options = ['--rm', '--network', 'none', ...PRIVILEGES, ...clients(), '--entrypoint', 'sh'];
    const outcome = await engine.docker('run', ...options, DAEMON, '-c', script);
    expect(outcome).toMatchObject({ status: 0, stdout: expect.stringContaining('all clients have left') });
  });

  /** Starts a daemon and waits until it is ready. Returns its container. */
  async function start(options: readonly string[], ...command: readonly string[]): Promise<string> {
    const detached = ['--detach', '--network', 'none', '--health-interval', '1s'];
    const id = (await engine.docker('run', ...detached, ...options, DAEMON, ...command)).stdout.trim();
    await expect
      .poll(async () => (await engine.docker('logs', id)).stdout, { timeout: 20_000 })
      .toContain('bus1fs ready');
    return id;
  }

  /** Starts one that serves a directory of the host. */
  const startSidecar = (shared: string, name: string): Promise<string> =>
    start(
      [...PRIVILEGES, '--pid', 'host', '--volume', `${shared}:${shared}:rshared`],
      ...['mount', `${shared}/${name}`, '--no-link'],
    );

  const health = async (id: string): Promise<string> =>
    (await engine.docker('inspect', '--format', '{{.State.Health.Status}}', id)).stdout.trim();

  test('is healthy wherever it mounts, also beside another one, and unhealthy when it hangs', () =>
    withSharedDirectory(async (shared) => {
      const first = await startSidecar(shared, 'bus1');
      const second = await startSidecar(shared, 'another');
      try {
        for (const id of [first, second]) await expect.poll(() => health(id), { timeout: 30_000 }).toBe('healthy');
        const status = await engine.docker('exec', first, 'bus1fs', 'status', '--json');
        const { devicePid } = JSON.parse(status.stdout) as DaemonStatus;
        process.kill(devicePid, 'SIGSTOP');
        await expect.poll(() => health(first), { timeout: 60_000 }).toBe('unhealthy');
        expect(await health(second)).toBe('healthy');
        process.kill(devicePid, 'SIGCONT');
      } finally {
        await engine.docker('stop', first, second);
        await engine.docker('rm', first, second);
      }
    }));

  test('serves clients of any user', async () => {
    const id = await start([...PRIVILEGES, ...clients()]);
    try {
      for (const user of ['0', '65534']) {
        for (const client of ['peers', 'handles', 'messages', 'descriptors']) {
          const cases = execFileSync(programs.get(client) ?? '', ['--list'], { encoding: 'utf8' })
            .trim()
            .split('\n');
          const script = cases
            .filter((name) => !NOT_BESIDE_THE_DAEMON.has(name))
            .map((name) => `/clients/${client} /run/bus1/bus1 ${name} || echo FAILED ${name}`);
          const outcome = await engine.docker('exec', '--user', user, id, 'sh', '-c', script.join('; '));
          expect(outcome, `${client} of user ${user}`).toMatchObject({ status: 0, stdout: '', stderr: '' });
        }
      }
    } finally {
      await engine.docker('rm', '--force', id);
    }
  });

  test.each([
    ['as documented', []],
    ['with a read-only root', ['--read-only']],
  ])('its doctor finds all it needs %s', async (_, more) => {
    const options = ['--rm', '--network', 'none', '--pid', 'host', ...PRIVILEGES, ...CHANGE_USER, ...more];
    const outcome = await engine.docker('run', ...options, DAEMON, 'doctor');
    expect(outcome, outcome.stdout).toMatchObject({ status: 0, stderr: '' });
    for (const who of ['root', 'user 65534']) {
      expect(outcome.stdout).toMatch(new RegExp(`^${who}: received descriptor +ok`, 'm'));
    }
  });

  test('as a sidecar serves the host and other containers, and ends cleanly', () =>
    withSharedDirectory(async (shared) => {
      const id = await startSidecar(shared, 'bus1');

      const device = `${shared}/bus1/bus1`;
      const onHost = await run(programs.get('demo') ?? '', [device]);
      expect(onHost).toMatchObject({ status: 0, stdout: expect.stringContaining('all clients have left') });
      const neighbour = ['--rm', '--network', 'none', '--volume', `${shared}:${shared}:rslave`];
      const inContainer = await engine.docker('run', ...neighbour, IMAGE, 'descriptors', device, 'in_a_busy_process');
      expect(inContainer).toMatchObject({ status: 0, stdout: '', stderr: '' });
      expect((await engine.docker('exec', id, 'bus1fs', 'status', `${shared}/bus1`)).stdout).toContain('0 peers now');

      expect((await engine.docker('stop', id)).status).toBe(0);
      expect((await engine.docker('inspect', '--format', '{{.State.ExitCode}}', id)).stdout).toBe('0\n');
      expect(isMounted(`${shared}/bus1`)).toBe(false);
      await engine.docker('rm', id);
    }));

  test('says what it lacks without its privileges', async () => {
    const outcome = await engine.docker('run', '--rm', '--network', 'none', DAEMON, 'doctor');
    expect(outcome.status).toBe(1);
    for (const hint of ['docker run --device /dev/fuse', '--cap-add SYS_ADMIN', '--cap-add SYS_PTRACE', '--pid=host']) {
      expect(outcome.stdout).toContain(hint);
    }
  });

  test('does not install descriptors where a filter of the client might kill it', async () => {
    const script =
      'bus1fs mount --daemon && /clients/descriptors /dev/bus1 under_a_seccomp_filter_of_its_own; bus1fs umount';
    const run = (...more: readonly string[]) =>
      engine.docker(
        ...['run', '--rm', '--network', 'none', ...PRIVILEGES, ...more, ...clients(), '--entrypoint', 'sh'],
        ...[DAEMON, '-c', script],
      );
    expect((await run()).stdout).toContain('installing(a, &recv) is -EPERM');
    expect((await run('--security-opt', 'seccomp=unconfined')).stdout).toBe('bus1fs ready: /run/bus1/bus1\n');
  });
});

describe('docker/compose.yaml', () => {
  test('brings up the sidecar and clients that find /dev/bus1 both ways', () =>
    withSharedDirectory(async (shared) => {
      const offline = join(temporaryDirectory('compose'), 'offline.yaml');
      const services = Object.fromEntries(['linked', 'unmodified'].map((name) => [name, { network_mode: 'none' }]));
      writeFileSync(offline, JSON.stringify({ services }));
      const compose = (...args: readonly string[]) =>
        engine.run('docker-compose', ['--file', join(ROOT, 'docker/compose.yaml'), '--file', offline, ...args], {
          BUS1FS_IMAGE: DAEMON,
          CLIENT_IMAGE: IMAGE,
          CLIENT_COMMAND: 'demo',
          BUS1_DIRECTORY: shared,
          COMPOSE_PROJECT_NAME: 'bus1fs-test',
        });
      try {
        const up = await compose('up', '--detach', '--no-build');
        expect(up, up.stderr).toMatchObject({ status: 0 });
        for (const service of ['linked', 'unmodified']) {
          const logs = async (): Promise<string> => (await compose('logs', service)).stdout;
          await expect.poll(logs, { timeout: 20_000 }).toContain('all clients have left');
        }
      } finally {
        expect(await compose('down')).toMatchObject({ status: 0 });
      }
      expect(isMounted(join(shared, 'bus1'))).toBe(false);
    }));
});

describe('docker/ci.sh', () => {
  const script = join(ROOT, 'docker/ci.sh');

  /** Runs it with its temporary directory where mounts propagate. */
  const ci = (...args: readonly string[]): Promise<Outcome> => ciUnder([], args);

  async function ciUnder(prefix: readonly string[], args: readonly string[]): Promise<Outcome> {
    let outcome: Outcome | undefined;
    await withSharedDirectory(async (shared) => {
      chmodSync(shared, 0o1777);
      const [program = '', ...rest] = [...prefix, script, ...args];
      outcome = await engine.run(program, rest, { BUS1FS_IMAGE: DAEMON, COMPILER_IMAGE: COMPILER, TMPDIR: shared });
      expect(readdirSync(shared)).toEqual(['bus1']);
    });
    expect((await engine.docker('ps', '--all', '--quiet')).stdout).toBe('');
    return outcome as Outcome;
  }

  /** A program of its own, as a project would have it. */
  function source(body: string): string {
    const path = join(temporaryDirectory('source'), 'program.c');
    writeFileSync(path, `#include <stdio.h>\n#include <linux/bus1.h>\nint main(int argc, char **argv) { ${body} }\n`);
    return path;
  }

  test('compiles and runs a program', async () => {
    const outcome = await ci(join(ROOT, 'test/clients/demo.c'));
    expect(outcome, outcome.stderr).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('all clients have left'),
    });
  });

  test('needs no more rights than to use Docker', async () => {
    const asUser = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--', 'env', 'HOME=/none'];
    chmodSync(engine.socket, 0o666);
    const outcome = await ciUnder(asUser, [join(ROOT, 'test/clients/demo.c')]);
    expect(outcome, outcome.stderr).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('all clients have left'),
    });
  });

  test('passes arguments on, and fails as the program does', async () => {
    const outcome = await ci(source('return puts(argv[1]) < 0 || argc == 2 ? 5 : 0;'), 'an argument');
    expect(outcome).toMatchObject({ status: 5, stdout: 'an argument\n' });
  });

  test('fails if the program cannot be compiled', async () => {
    expect(await ci(source('undeclared();'))).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('undeclared'),
    });
  });
});
