import { closeSync, constants, openSync, readFileSync, symlinkSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { ExpectedError } from '../base/expected-error.js';
import { leadsTo } from '../base/symlink.js';

/** What a hook needs of the state that a container runtime passes on its standard input (OCI runtime specification). */
interface ContainerState {
  readonly bundle: string;
}

/**
 * Creates the symlink `link` to `target` in a container that is being created. It runs in the namespaces of the container,
 * but before its root is the root, so nothing on the way may be a symlink of the container's making.
 */
export function linkInContainer(state: ContainerState, link: string, target: string): void {
  const config = JSON.parse(readFileSync(join(state.bundle, 'config.json'), 'utf8')) as { root: { path: string } };
  const directory = join(resolve(state.bundle, config.root.path), dirname(link));
  const fd = openDirectory(directory);
  const at = `/proc/self/fd/${fd}/${basename(link)}`;
  try {
    symlinkSync(target, at);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    if (!leadsTo(at, target)) throw new ExpectedError(`the container has something else at ${link}`);
  } finally {
    closeSync(fd);
  }
}

function openDirectory(path: string): number {
  try {
    return openSync(path, constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ELOOP' && code !== 'ENOTDIR') throw error;
    throw new ExpectedError(`${path} is not a directory; a symlink there may lead out of the container`);
  }
}
