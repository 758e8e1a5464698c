import { systemCall } from './libc.js';
import { mount } from './mount-table.js';

const unshare = systemCall<[flags: number]>('int unshare(int flags)');

const CLONE_NEWNS = 0x2_0000;
const MS_REC = 0x4000;
const MS_PRIVATE = 1 << 18;

/**
 * Gives the calling thread, and all it starts from then on, a mount namespace of its own, whose mounts nobody else sees
 * and which go with the last process in it. Node's pool of threads stays behind. Returns 0 or a negative errno.
 */
export function enterPrivateMountNamespace(): number {
  const error = unshare(CLONE_NEWNS);
  return error < 0 ? error : mount('none', '/', 'none', MS_REC | MS_PRIVATE, '');
}
