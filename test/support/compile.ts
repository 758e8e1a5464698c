import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from './temporary.js';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const INCLUDE_DIR = join(ROOT, 'include');

const FLAGS = ['-std=gnu11', '-O1', '-g', '-Wall', '-Wextra', '-Werror', '-Wno-unused-function', '-Wno-override-init'];

/** Compiles C programs to a temporary directory. */
export class Compiler {
  private readonly directory = temporaryDirectory('clients');

  /** Compiles a source file, named relative to test/. Returns the program's path. */
  compile(source: string, name: string, ...flags: readonly string[]): string {
    const program = join(this.directory, name);
    const path = join(ROOT, 'test', source);
    try {
      execFileSync('gcc', [...FLAGS, '-I', INCLUDE_DIR, '-o', program, path, '-pthread', ...flags], {
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
