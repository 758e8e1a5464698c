import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';

/*
 * What the demo, the tests and the gate need and may be missing. On Debian root gets it installed; anybody else is told in one
 * line, before anything starts.
 *
 *   prerequisites.ts demo|test|gate
 */

const STAGES = ['demo', 'test', 'gate'] as const;
type Stage = (typeof STAGES)[number];

interface Prerequisite {
  /** The Debian package. */
  readonly name: string;
  /** The first stage that needs it; later ones do too. */
  readonly stage: Stage;
  readonly purpose: string;
  /** A command, or the path of a file, that is there if this is. */
  readonly provides: string;
  /** The first Debian that has it as a package of its own. */
  readonly since?: number;
}

const PREREQUISITES: readonly Prerequisite[] = [
  { name: 'gcc', stage: 'demo', purpose: 'C programs', provides: 'gcc' },
  { name: 'libc6-dev', stage: 'demo', purpose: 'C programs', provides: '/usr/include/stdio.h' },
  { name: 'g++', stage: 'test', purpose: 'the header in C++', provides: 'g++' },
  { name: 'gcc-multilib', stage: 'test', purpose: '32-bit programs', provides: '/usr/include/asm' },
  { name: 'python3-minimal', stage: 'test', purpose: 'a listener in the place of systemd', provides: 'python3' },
  { name: 'groff-base', stage: 'test', purpose: 'man pages', provides: 'groff' },
  { name: 'mandoc', stage: 'test', purpose: 'man pages', provides: 'mandoc' },
  { name: 'libfuse2', stage: 'test', purpose: 'fuse-native', provides: '/lib/x86_64-linux-gnu/libfuse.so.2' },
  { name: 'docker.io', stage: 'test', purpose: 'Docker', provides: 'dockerd' },
  { name: 'docker-cli', stage: 'test', purpose: 'Docker', provides: 'docker', since: 13 },
  { name: 'docker-compose', stage: 'test', purpose: 'docker/compose.yaml', provides: 'docker-compose' },
  { name: 'podman', stage: 'test', purpose: 'containers by CDI', provides: 'podman' },
  { name: 'runc', stage: 'test', purpose: 'containers under a seccomp profile', provides: 'runc' },
  { name: 'busybox-static', stage: 'test', purpose: 'images', provides: '/usr/share/doc/busybox-static' },
  { name: 'git', stage: 'gate', purpose: 'what belongs to the tree', provides: 'git' },
  { name: 'shellcheck', stage: 'gate', purpose: 'shell scripts', provides: 'shellcheck' },
  { name: 'clang-format', stage: 'gate', purpose: 'the format of C', provides: 'clang-format' },
];

const isRoot = process.getuid?.() === 0;

/** Its number; above all others where there is none, as for Debian's next release; undefined elsewhere. */
function debianVersion(): number | undefined {
  const release = readFileSync('/etc/os-release', 'utf8');
  if (!/^ID=debian$/m.test(release)) return undefined;
  return Number(/^VERSION_ID="(\d+)"$/m.exec(release)?.[1] ?? Number.POSITIVE_INFINITY);
}

/** Those of root may not be in the PATH of others. */
const PATH = [process.env['PATH'] ?? '', '/usr/local/sbin', '/usr/sbin'].join(delimiter).split(delimiter);

const isThere = (provides: string): boolean =>
  (provides.startsWith('/') ? [''] : PATH).some((directory) => existsSync(join(directory, provides)));

/** An optional peer of bus1fs that the tests use. npm does not install it by itself, and cannot without libfuse2. */
const FUSE_NATIVE = 'fuse-native';

function hasFuseNative(): boolean {
  try {
    return createRequire(import.meta.url).resolve(FUSE_NATIVE) !== '';
  } catch {
    return false;
  }
}

function fail(reason: string): never {
  console.error(`bus1fs: ${reason}`);
  process.exit(1);
}

/** Quietly, but for errors. */
function install(command: string, ...args: readonly string[]): void {
  const { status } = spawnSync(command, args, {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  if (status !== 0) fail(`${command} ${args.join(' ')} failed`);
}

const stage = STAGES.find((name) => name === process.argv[2]) ?? fail(`say for which: ${STAGES.join(', ')}`);
const debian = debianVersion();
const missing = PREREQUISITES.filter(
  (each) =>
    STAGES.indexOf(each.stage) <= STAGES.indexOf(stage) &&
    (each.since ?? 0) <= (debian ?? 0) &&
    !isThere(each.provides),
);
const names = missing.map(({ name }) => name);

const list = missing.map(({ name, purpose }) => `${name} (${purpose})`).join(', ');

if (names.length > 0 && debian === undefined) fail(`missing here, by their names in Debian: ${list}`);
if (!isRoot) {
  fail(`this must be run as root${names.length > 0 ? `, and first: apt-get install ${names.join(' ')}` : ''}`);
}
if (stage !== 'demo' && spawnSync('unshare', ['--user', 'true']).status !== 0) {
  fail('no user namespace can be made here, as in a chroot; the tests need them, and containers');
}
if (names.length > 0) {
  console.log(`bus1fs: installing ${list}`);
  install('apt-get', 'update');
  install('apt-get', 'install', '--yes', '--no-install-recommends', ...names);
}
if (stage !== 'demo' && !hasFuseNative()) {
  const { peerDependencies } = createRequire(import.meta.url)('../../package.json');
  console.log(`bus1fs: installing ${FUSE_NATIVE} into node_modules`);
  install('npm', 'install', '--no-save', '--save-dev', `${FUSE_NATIVE}@${peerDependencies[FUSE_NATIVE]}`);
}
