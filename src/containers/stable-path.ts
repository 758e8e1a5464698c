import { realpathSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';

/** Directories whose programs keep their paths, before those of the user's PATH. */
const SYSTEM_DIRECTORIES = ['/usr/local/bin', '/usr/bin'];
/** Version managers and npx keep programs in directories that go with the version, the shell or the cache. */
const PASSING = /\/v?\d+\.\d+|_multishells\/|\/_npx\/|^\/(tmp|run)\//;

/**
 * A path to `file` for those who use it later, and whether it will last: of the names by which programs are found, the
 * first, `name`, that leads to this file and has no version in it; else its own.
 */
export function stablePath(file: string, name: string): { readonly path: string; readonly lasts: boolean } {
  const directories = [...SYSTEM_DIRECTORIES, ...(process.env['PATH'] ?? '').split(delimiter).filter(isAbsolute)];
  const real = realpath(file);
  const path = directories
    .map((directory) => join(directory, name))
    .find((candidate) => !PASSING.test(candidate) && realpath(candidate) === real);
  if (path !== undefined) return { path, lasts: true };
  return { path: file, lasts: !PASSING.test(file) };
}

function realpath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}
