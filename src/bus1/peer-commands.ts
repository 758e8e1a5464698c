import type { Bytes } from '../base/bytes.js';
import { Errno } from '../base/errno.js';
import type { Limits } from '../bus/quota.js';
import { onlyFlags, PeerFlag, PeerReset, ResetFlag } from './bus1-abi.js';
import type { Bus1File } from './bus1-file.js';

const INT_MAX = 0x7fff_ffff;
/** All ones: leave it as it is. */
const LEAVE = 0xffff_ffff;

/** Where the limit of each resource is. */
const LIMITS: readonly (readonly [resource: keyof Limits, offset: number])[] = [
  ['slices', PeerReset.max_slices],
  ['handles', PeerReset.max_handles],
  ['inflightBytes', PeerReset.max_inflight_bytes],
  ['inflightFds', PeerReset.max_inflight_fds],
];

/** PEER_DISCONNECT. */
export function disconnect({ peer }: Bus1File, argument: Bytes): Errno {
  if (argument.u64(0) !== 0) return Errno.EINVAL;
  peer.disconnect();
  return Errno.OK;
}

/** PEER_QUERY. */
export function query({ peer }: Bus1File, argument: Bytes): Errno {
  if (!onlyFlags(argument, PeerReset.flags, 0)) return Errno.EINVAL;
  argument.setU64(PeerReset.peer_flags, peer.wantsSecctx ? PeerFlag.WANT_SECCTX : 0);
  for (const [resource, offset] of LIMITS) argument.setU32(offset, peer.quotas[resource].max);
  return Errno.OK;
}

/** PEER_RESET. */
export function reset({ peer }: Bus1File, argument: Bytes): Errno {
  if (!onlyFlags(argument, PeerReset.flags, ResetFlag.FLUSH | ResetFlag.FLUSH_SEED)) return Errno.EINVAL;
  const keepsFlags = argument.isAllOnes64(PeerReset.peer_flags);
  if (!keepsFlags && !onlyFlags(argument, PeerReset.peer_flags, PeerFlag.WANT_SECCTX)) return Errno.EINVAL;
  for (const [, offset] of LIMITS) {
    const limit = argument.u32(offset);
    if (limit > INT_MAX && limit !== LEAVE) return Errno.EINVAL;
  }

  if (!keepsFlags) peer.wantsSecctx = (argument.u32(PeerReset.peer_flags) & PeerFlag.WANT_SECCTX) !== 0;
  for (const [resource, offset] of LIMITS) {
    const limit = argument.u32(offset);
    if (limit !== LEAVE) peer.quotas[resource].max = limit;
  }
  const flags = argument.u32(PeerReset.flags);
  const flushesSeed = (flags & ResetFlag.FLUSH_SEED) !== 0;
  if ((flags & ResetFlag.FLUSH) !== 0) peer.flush(!flushesSeed);
  else if (flushesSeed) peer.inbox.setSeed(undefined);
  return Errno.OK;
}
