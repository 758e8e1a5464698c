import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Outcome, run } from '../support/bus1fs.js';

const BUSYBOX = '/bin/busybox';
const APPLETS = ['sh', 'ls', 'ln', 'sleep', 'true'];

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
    const engine = new Engine(mkdtempSync(join(tmpdir(), 'bus1fs-docker-')));
    for (let i = 0; i < 150; i++) {
      if ((await engine.docker('info')).status === 0) return engine;
      await sleep(200);
    }
    await engine.stop();
    throw new Error('dockerd did not start; on Debian: apt-get install docker.io');
  }

  docker(...args: readonly string[]): Promise<Outcome> {
    return run('docker', ['--host', `unix://${join(this.directory, 'socket')}`, ...args], 120_000);
  }

  /** Makes an image of busybox and these programs, which must be static, in /bin. */
  async makeImage(name: string, programs: readonly string[]): Promise<void> {
    const bin = join(this.directory, 'root/bin');
    for (const directory of [bin, join(this.directory, 'root/dev')]) mkdirSync(directory, { recursive: true });
    copyFileSync(BUSYBOX, join(bin, 'busybox'));
    for (const applet of APPLETS) symlinkSync('busybox', join(bin, applet));
    for (const program of programs) copyFileSync(program, join(bin, basename(program)));
    const archive = join(this.directory, 'root.tar');
    execFileSync('tar', ['-C', join(this.directory, 'root'), '-cf', archive, '.']);
    const imported = await this.docker('import', archive, name);
    if (imported.status !== 0) throw new Error(`docker import: ${imported.stderr}`);
  }

  async stop(): Promise<void> {
    this.process.kill('SIGTERM');
    await this.ended;
    rmSync(this.directory, { recursive: true, force: true });
  }
}
