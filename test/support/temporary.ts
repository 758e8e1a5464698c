import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where the directory of all is named, for the processes that tests start. */
export const VARIABLE = 'BUS1FS_TEST_DIRECTORY';

function make(): string {
  const directory = mkdtempSync(join(tmpdir(), 'bus1fs-tests-'));
  chmodSync(directory, 0o755); // some tests run programs in it as other users
  return directory;
}

/**
 * Vitest calls this around all tests, in their parent process: workers may end without a chance to clean up. It does so for
 * each of its projects; they share the directory that the first one makes.
 */
export function setup(): (() => void) | undefined {
  if (process.env[VARIABLE] !== undefined) return undefined;
  const directory = make();
  process.env[VARIABLE] = directory;
  return () => rmSync(directory, { recursive: true });
}

function own(): string {
  const directory = make();
  process.on('exit', () => rmSync(directory, { recursive: true }));
  return directory;
}

let base: string | undefined;

/** A new directory, for everybody to read, which goes when the tests, or this program, have ended. */
export function temporaryDirectory(name: string): string {
  base ??= process.env[VARIABLE] ?? own();
  const directory = mkdtempSync(join(base, `${name}-`));
  chmodSync(directory, 0o755);
  return directory;
}
