import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const INCLUDE_DIR = join(ROOT, 'include');

const FLAGS = ['-std=gnu11', '-O1', '-g', '-Wall', '-Wextra', '-Werror', '-Wno-unused-function', '-Wno-override-init'];

/** Compiles C programs to a temporary directory that goes with this process. */
export class Compiler {
  private readonly directory = mkdtempSync(join(tmpdir(), 'bus1fs-clients-'));

  constructor() {
    chmodSync(this.directory, 0o755); // some tests run them as other users
    process.on('exit', () => rmSync(this.directory, { recursive: true, force: true }));
  }

  /** Compiles a source file, named relative to test/. Returns the program's path. */
  compile(source: string, name: string, ...flags: readonly string[]): string {
    const program = join(this.directory, name);
    const path = join(ROOT, 'test', source);
    try {
      execFileSync('gcc', [...FLAGS, ...flags, '-I', INCLUDE_DIR, '-o', program, path, '-pthread'], {
        encoding: 'utf8',
      });
    } catch (error) {
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      throw missing ? new Error('gcc is missing; on Debian: apt-get install gcc g++ gcc-multilib') : error;
    }
    return program;
  }
}

export const compiler = new Compiler();
