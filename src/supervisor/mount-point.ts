import { lstatSync, mkdirSync, readdirSync, readlinkSync, realpathSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ExpectedError } from '../base/expected-error.js';
import { printable } from '../base/printable.js';
import { leadsTo } from '../base/symlink.js';
import { MNT_DETACH, MNT_FORCE, type MountEntry, mountAt, mounts, unmount } from '../linux/mount-table.js';

export const FILE_SYSTEM_TYPE = 'fuse.bus1fs';
export const DEFAULT_DIRECTORY = '/run/bus1';

const LIVENESS_TIMEOUT_MS = 2000;

/** The path of a directory as the mount table has it: absolute and without symlinks. */
export function canonicalPath(directory: string): string {
  const absolute = resolve(directory);
  try {
    return realpathSync(absolute);
  } catch {
    // It does not exist yet, or is a dead mount, which cannot be looked at.
    const parent = dirname(absolute);
    return parent === absolute ? absolute : join(canonicalPath(parent), basename(absolute));
  }
}

/**
 * Makes `directory` ready to be mounted on: creates it, clears dead mounts of ours there and tells `onCleared`. Refuses
 * to cover anything else: a living mount, somebody else's mount, or files.
 */
export async function prepareMountPoint(directory: string, onCleared: () => void): Promise<void> {
  for (let entry = mountAt(directory); entry?.type === FILE_SYSTEM_TYPE; entry = mountAt(directory)) {
    if (await isAlive(directory)) {
      throw new ExpectedError(`bus1fs is mounted at ${directory} already; end it with: bus1fs umount ${directory}`);
    }
    unmountAll(directory);
    onCleared();
  }
  const other = mountAt(directory);
  if (other !== undefined) {
    throw new ExpectedError(`${directory} is a mount point of type ${other.type} already; choose another directory`);
  }
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  if (!statSync(directory).isDirectory()) throw new ExpectedError(`${directory} is not a directory`);
  const [name] = readdirSync(directory);
  if (name !== undefined) {
    throw new ExpectedError(
      `${directory} is not empty (it holds ${name}) and mounting would hide that; choose another directory`,
    );
  }
}

/** Whether somebody answers for a mount. A dead one says ENOTCONN at once; one that hangs is taken for alive. */
async function isAlive(directory: string): Promise<boolean> {
  const timeout = new Promise<boolean>((resolve) => setTimeout(resolve, LIVENESS_TIMEOUT_MS, true).unref());
  const answer = stat(`${directory}/bus1`).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code !== 'ENOTCONN' && error.code !== 'ECONNABORTED',
  );
  return Promise.race([answer, timeout]);
}

/** Our mount at `directory`, or an error that says what is there instead. */
export function findMount(directory: string): MountEntry {
  const entry = mountAt(directory);
  if (entry?.type === FILE_SYSTEM_TYPE) return entry;
  throw new ExpectedError(`no bus1fs is mounted at ${directory}`);
}

/**
 * The mount that is meant where none is named: the only one; or, of several, the only one whose daemon is in this mount
 * namespace, as in a container that sees the mounts of others; or, of several of those, the one in the default place.
 */
export async function theMount(): Promise<string> {
  const directories = new Map<number, string>();
  for (const { type, root, mountPoint, deviceMinor } of mounts()) {
    if (type === FILE_SYSTEM_TYPE && root === '/') directories.set(deviceMinor, mountPoint);
  }
  const all = [...directories.values()];
  if (all.length === 0) throw new ExpectedError('no bus1fs is mounted here; start one with: bus1fs mount');
  const isOurs = all.length === 1 ? [true] : await Promise.all(all.map(isServedFromHere));
  const ours = all.filter((_, i) => isOurs[i]);
  if (ours.length === 1) return ours[0] as string;
  if (ours.includes(DEFAULT_DIRECTORY)) return DEFAULT_DIRECTORY;
  throw new ExpectedError(`more than one bus1fs is mounted; say which: ${all.join(', ')}`);
}

/** Whether the daemon of a mount is in our mount namespace. One that does not answer is not. */
async function isServedFromHere(directory: string): Promise<boolean> {
  const timeout = new Promise<undefined>((late) => setTimeout(late, LIVENESS_TIMEOUT_MS, undefined).unref());
  try {
    const text = await Promise.race([readFile(`${directory}/status`, 'utf8'), timeout]);
    if (text === undefined) return false;
    const { pid } = JSON.parse(text) as { readonly pid: number };
    return readlinkSync(`/proc/${pid}/ns/mnt`) === readlinkSync('/proc/self/ns/mnt');
  } catch {
    return false;
  }
}

/** Whether a device number is that of a bus1fs that root mounted and this process sees. */
export const servesDevice = (major: number, minor: number): boolean =>
  mounts().some(
    ({ type, deviceMajor, deviceMinor, options }) =>
      type === FILE_SYSTEM_TYPE && deviceMajor === major && deviceMinor === minor && options.includes('user_id=0'),
  );

/**
 * Ends the connection, so that nobody waits any longer, then takes the mount away even where it is in use. Returns 0 or
 * a negative errno; that nothing was mounted is no error.
 */
export function unmountAll(directory: string): number {
  const forced = unmount(directory, MNT_FORCE);
  return forced === 0 ? forced : unmount(directory, MNT_DETACH);
}

/** Points `link` to `device`. Returns false, and leaves it alone, if something that is not ours is there. */
export function createLink(link: string, device: string): boolean {
  if (leadsTo(link, device)) return true;
  if (lstatSync(link, { throwIfNoEntry: false }) !== undefined) return false;
  symlinkSync(device, link);
  return true;
}

/** What is at a path, in words. */
export function describeFile(path: string): string {
  const file = lstatSync(path, { throwIfNoEntry: false });
  if (file === undefined) return 'nothing';
  if (file.isSymbolicLink()) return `a symlink to ${printable(readlinkSync(path))}`;
  if (file.isDirectory()) return 'a directory';
  if (file.isCharacterDevice() || file.isBlockDevice()) return 'a device';
  return file.isFile() ? 'a file' : 'something';
}

export function removeLink(link: string, device: string): void {
  if (leadsTo(link, device)) rmSync(link);
}
