import { readlinkSync } from 'node:fs';

/** Whether there is a symlink at `path` whose text is exactly `target`. */
export function leadsTo(path: string, target: string): boolean {
  try {
    return readlinkSync(path) === target;
  } catch {
    return false;
  }
}
