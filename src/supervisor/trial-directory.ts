import { mkdirSync, mkdtempSync, rmdirSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../base/expected-error.js';
import { MNT_DETACH, MS_NODEV, MS_NOEXEC, MS_NOSUID, mount, unmount } from '../linux/mount-table.js';
import { enterPrivateMountNamespace } from '../linux/namespace.js';

export interface TrialDirectory {
  readonly path: string;
  remove(): void;
}

/** Directories that may be hidden from this process and its children for a while; none is written to. */
const COVERS = ['/mnt', '/media', '/srv', '/run', '/tmp', '/sys'];
const PARENTS = ['/run', '/dev/shm', tmpdir()];

/**
 * An empty directory to mount on. Where this process may have a mount namespace of its own, the directory is in that, so
 * that nobody else sees it, nothing needs to be writable, and nothing stays behind; else it is a temporary one. Throws the
 * error of the last attempt. `needed` are paths that must stay in sight.
 */
export function trialDirectory(needed: readonly string[]): TrialDirectory {
  return privateDirectory(needed) ?? temporaryDirectory();
}

function privateDirectory(needed: readonly string[]): TrialDirectory | undefined {
  if (enterPrivateMountNamespace() < 0) return undefined;
  const cover = COVERS.find((path) => isDirectory(path) && !needed.some((other) => other.startsWith(`${path}/`)));
  if (cover === undefined) return undefined;
  if (mount('bus1fs-doctor', cover, 'tmpfs', MS_NOSUID | MS_NODEV | MS_NOEXEC, 'mode=755') < 0) return undefined;
  const path = join(cover, 'bus1');
  mkdirSync(path);
  return { path, remove: () => unmount(cover, MNT_DETACH) };
}

const isDirectory = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

function temporaryDirectory(): TrialDirectory {
  const failures: string[] = [];
  for (const parent of PARENTS) {
    try {
      const path = mkdtempSync(join(parent, 'bus1fs-doctor-'));
      return { path, remove: () => rmdirSync(path) };
    } catch (error) {
      failures.push(messageOf(error));
    }
  }
  throw new Error(failures.join('; '));
}
