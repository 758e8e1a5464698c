import type { Bytes } from '../../base/bytes.js';
import { Errno } from '../../base/errno.js';
import type { Caller } from '../../device.js';
import { is64, Release } from './abi-2026.js';
import type { Peer } from './model/peer-2026.js';

const ID_SIZE = 8;

/** RELEASE. */
export function release(peer: Peer, argument: Bytes, caller: Caller): Errno {
  if (!is64(argument, Release.flags, 0)) return Errno.EINVAL;
  const count = argument.u64(Release.n_ids);
  if (count > peer.account.limits.objects) return Errno.EINVAL;
  const length = count * ID_SIZE;
  const memory = caller.scratch(length);
  const readable = Math.floor(caller.read(0, [{ address: argument.u64(Release.ptr_ids), length }]) / ID_SIZE);
  const ids = Array.from({ length: readable }, (_, i) => memory.u64(i * ID_SIZE));
  if (readable === count) return peer.release(ids);
  return ids.every((id) => peer.has(id)) ? Errno.EFAULT : Errno.EBADRQC;
}
