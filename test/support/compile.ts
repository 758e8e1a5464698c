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
    return this.run(name, [join(ROOT, 'test', source), ...flags]);
  }

  /** Compiles a text. Returns the program's path. */
  compileText(text: string, name: string): string {
    return this.run(name, ['-x', 'c', '-'], text);
  }

  private run(name: string, args: readonly string[], input = ''): string {
    const program = join(this.directory, name);
    try {
      execFileSync('gcc', [...FLAGS, '-I', INCLUDE_DIR, '-o', program, ...args, '-pthread'], {
        encoding: 'utf8',
        input,
      });
    } catch (error) {
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      throw missing ? new Error('gcc is missing; on Debian: apt-get install gcc g++ gcc-multilib') : error;
    }
    return program;
  }
}

export const compiler = new Compiler();
