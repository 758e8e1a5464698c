import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, cpSync, existsSync, mkdirSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Outcome, run } from '../support/bus1fs.js';
import { ROOT } from '../support/compile.js';
import { temporaryDirectory } from '../support/temporary.js';

const BUSYBOX = '/bin/busybox';
const TEXT = { encoding: 'utf8', stdio: 'pipe' } as const;
const APPLETS = ['sh', 'ls', 'ln', 'sleep', 'true', 'cat', 'chmod', 'rm', 'env'];

/** A Docker daemon of our own: private socket and data, no network, nothing left when it has ended. */
export class Engine {
  private readonly directory: string;
  private readonly process: ReturnType<typeof spawn>;
  private readonly ended: Promise<unknown>;

  private constructor(directory: string) {
    this.directory = directory;
    const at = (name: string): string => join(directory, name);
    this.process = spawn(
      'setpriv',
      [
        ...['--pdeathsig', 'TERM', '--', 'dockerd', '--iptables=false', '--ip6tables=false', '--bridge=none'],
        ...[
          '--host',
          `unix://${at('socket')}`,
          '--data-root',
          at('data'),
          '--exec-root',
          at('exec'),
          '--pidfile',
          at('pid'),
        ],
      ],
      { stdio: 'ignore' },
    );
    this.ended = once(this.process, 'exit');
  }

  static async start(): Promise<Engine> {
    const engine = new Engine(temporaryDirectory('docker'));
    for (let i = 0; i < 150; i++) {
      if ((await engine.docker('info')).status === 0) return engine;
      await sleep(200);
    }
    await engine.stop();
    throw new Error('dockerd did not start; on Debian: apt-get install docker.io');
  }

  get socket(): string {
    return join(this.directory, 'socket');
  }

  docker(...args: readonly string[]): Promise<Outcome> {
    return this.run('docker', args);
  }

  /** Runs a program that uses this engine, with these variables in its environment too. */
  run(program: string, args: readonly string[], variables: Readonly<Record<string, string>> = {}): Promise<Outcome> {
    const environment = {
      DOCKER_HOST: `unix://${this.socket}`,
      DOCKER_BUILDKIT: '0', // the builder that needs no plugin
      ...variables,
    };
    const settings = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
    return run('env', [...settings, program, ...args], 120_000);
  }

  /** Makes an image of busybox and these programs, which must be static, in /bin. Returns the archive of its root. */
  async makeClientImage(name: string, programs: readonly string[]): Promise<string> {
    const root = this.makeRoot('clients');
    for (const program of programs) copyFileSync(program, join(root, 'bin', basename(program)));
    return await this.import(root, name);
  }

  /**
   * Makes an image with the Node and npm of this machine, in place of node:*-slim, which no registry gives us here. npm
   * is set up as it is on the machine.
   */
  async makeNodeImage(name: string): Promise<void> {
    const root = this.makeRoot('node');
    const libraries = execFileSync('ldd', [process.execPath], { encoding: 'utf8' }).match(/\/\S+/g) ?? [];
    const npm = dirname(dirname(realpathSync(execFileSync('which', ['npm'], { encoding: 'utf8' }).trim())));
    const lookup = ['/lib/x86_64-linux-gnu/libnss_dns.so.2', '/lib/x86_64-linux-gnu/libresolv.so.2'];
    const settings = ['/etc/ssl/certs/ca-certificates.crt', '/usr/etc/npmrc', '/etc/passwd', '/etc/group'];
    for (const path of [...libraries, ...lookup, ...settings, npm].filter((path) => existsSync(path))) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      cpSync(path, join(root, path), { recursive: true, dereference: true });
    }
    mkdirSync(join(root, 'usr/bin'), { recursive: true });
    copyFileSync(process.execPath, join(root, 'usr/bin/node'));
    symlinkSync(join(npm, 'bin/npm-cli.js'), join(root, 'usr/bin/npm'));
    symlinkSync('/bin/busybox', join(root, 'usr/bin/env'));
    await this.import(root, name);
  }

  /** Makes an image of this machine's gcc and what it needs, in place of gcc:*. */
  async makeCompilerImage(name: string): Promise<void> {
    const only = ['recommends', 'suggests', 'conflicts', 'breaks', 'replaces', 'enhances'].map(
      (kind) => `--no-${kind}`,
    );
    const wanted = ['gcc', 'libc6-dev', 'dash', 'coreutils'];
    const closure = execFileSync('apt-cache', ['depends', '--recurse', '--installed', ...only, ...wanted], TEXT);
    const files = execFileSync('dpkg', ['-L', ...(closure.match(/^[a-z]\S*$/gm) ?? [])], TEXT).match(/^\/.*$/gm) ?? [];
    // Packages name their files by the paths from before /bin and /lib became links to /usr.
    const list = files
      .filter((path) => !path.startsWith('/usr/share/') && !/^\/(bin|sbin|lib|lib64)$/.test(path))
      .map((path) => path.replace(/^\/(bin|sbin|lib|lib64)\//, '/usr/$1/'));
    const archive = join(this.directory, 'gcc.tar');
    const input = ['/bin', '/sbin', '/lib', '/lib64', '/tmp', ...new Set(list)].join('\n');
    execFileSync('tar', ['-C', '/', '--no-recursion', '-cf', archive, '-T', '-'], { input, stdio: 'pipe' });
    await this.importArchive(archive, name);
  }

  /** Builds an image from a Dockerfile of the tree, with the network of the host. */
  async build(dockerfile: string, name: string, base: string): Promise<void> {
    const args = ['build', '--network', 'host', '--build-arg', `BASE=${base}`, '--tag', name];
    const built = await this.docker(...args, '--file', join(ROOT, dockerfile), ROOT);
    if (built.status !== 0) throw new Error(`docker build: ${built.stdout}\n${built.stderr}`);
  }

  private makeRoot(name: string): string {
    const root = join(this.directory, name);
    for (const directory of ['bin', 'dev', 'tmp', 'var/log']) mkdirSync(join(root, directory), { recursive: true });
    copyFileSync(BUSYBOX, join(root, 'bin/busybox'));
    for (const applet of APPLETS) symlinkSync('busybox', join(root, 'bin', applet));
    return root;
  }

  private async import(root: string, name: string): Promise<string> {
    const archive = `${root}.tar`;
    execFileSync('tar', ['-C', root, '-cf', archive, '.']);
    await this.importArchive(archive, name);
    return archive;
  }

  private async importArchive(archive: string, name: string): Promise<void> {
    const imported = await this.docker('import', archive, name);
    if (imported.status !== 0) throw new Error(`docker import: ${imported.stderr}`);
  }

  async stop(): Promise<void> {
    this.process.kill('SIGTERM');
    await this.ended;
    await run('umount', ['-lq', join(this.directory, 'exec/netns/default')]); // it stays behind after --network host
    rmSync(this.directory, { recursive: true, force: true });
  }
}
