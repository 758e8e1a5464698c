import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '../support/eventually.js';

const ROOT = '/sys/fs/cgroup';

/** Where groups for a controller can be made, in a hierarchy of its own (v1) or in the one of all (v2). */
function hierarchyOf(controller: string): string | undefined {
  const own = join(ROOT, controller);
  if (existsSync(join(own, 'cgroup.procs'))) return own;
  // every group of v2 can be frozen; there is no controller for that
  if (controller === 'freezer') return existsSync(join(ROOT, 'cgroup.procs')) ? ROOT : undefined;
  try {
    const isThere = readFileSync(join(ROOT, 'cgroup.subtree_control'), 'utf8').split(/\s/).includes(controller);
    return isThere ? ROOT : undefined;
  } catch {
    return undefined;
  }
}

/** A control group of a test's own. */
export class Cgroup {
  readonly path: string;
  /** Whether it is of cgroup v2, where files have other names. */
  readonly isV2: boolean;

  private constructor(hierarchy: string, name: string) {
    this.path = join(hierarchy, `bus1fs-${name}-${process.pid}`);
    this.isV2 = hierarchy === ROOT;
    mkdirSync(this.path);
  }

  /** Undefined where there is no such controller, or none for us. */
  static create(controller: string): Cgroup | undefined {
    const hierarchy = hierarchyOf(controller);
    try {
      return hierarchy === undefined ? undefined : new Cgroup(hierarchy, controller);
    } catch {
      return undefined;
    }
  }

  write(file: string, value: string): void {
    writeFileSync(join(this.path, file), value);
  }

  /** The command to run another one in it. */
  get prefix(): string[] {
    return ['sh', '-c', `echo $$ > ${this.path}/cgroup.procs && exec "$@"`, 'sh'];
  }

  /** Once everything in it has ended. */
  async remove(): Promise<void> {
    await eventually(() => readFileSync(join(this.path, 'cgroup.procs'), 'utf8') === '', `${this.path} is empty`);
    rmdirSync(this.path);
  }
}
