import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Outcome, run } from '../support/bus1fs.js';
import { temporaryDirectory } from '../support/temporary.js';

/**
 * Podman with a store of its own and CDI specifications of its own: /run, where it looks for them, is another one for it.
 * It serves here because Debian's Docker is too old for CDI.
 */
export class Podman {
  private readonly directory = temporaryDirectory('podman');
  private readonly specifications = temporaryDirectory('cdi');

  /** Puts a CDI specification where Podman will find it. */
  specify(cdi: string): void {
    writeFileSync(join(this.specifications, 'bus1fs.json'), cdi);
  }

  podman(...args: readonly string[]): Promise<Outcome> {
    const script = 'mount -t tmpfs run /run && cp -r "$0" /run/cdi && exec podman "$@"';
    const inside = (name: string): string => join(this.directory, name);
    const store = ['--root', inside('store'), '--runroot', inside('run'), '--tmpdir', inside('tmp')];
    return run(
      'unshare',
      [
        ...['--mount', '--propagation', 'slave', 'sh', '-c', script, this.specifications],
        ...[...store, '--storage-driver', 'vfs', '--cgroup-manager', 'cgroupfs', '--runtime', 'runc', ...args],
      ],
      120_000,
    );
  }

  /** Removes the cgroups that stay behind, unless somebody else's containers are in them. */
  async stop(): Promise<void> {
    const leftovers = ['-depth', '-type', 'd', '-path', '*/libpod_parent*'];
    await run('find', ['/sys/fs/cgroup', ...leftovers, '-exec', 'rmdir', '{}', ';']);
  }

  /** Runs a command in a new container, under limits that can be set without CAP_SYS_RESOURCE. */
  runIn(image: string, options: readonly string[], ...command: readonly string[]): Promise<Outcome> {
    const limits = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'];
    return this.podman('run', '--rm', '--network', 'none', ...limits, ...options, image, ...command);
  }
}
