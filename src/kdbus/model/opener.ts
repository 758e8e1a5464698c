import type { ThreadStanding, Viewpoint } from '../../device.js';

const CAP_IPC_OWNER = 15n;

/** Who opened a file, which stays as it was then. */
export interface Opener {
  /** The real uid. */
  readonly uid: number;
  readonly euid: number;
  readonly egid: number;
  readonly groups: readonly number[];
  readonly hasIpcOwner: boolean;
  /** Its user namespace. */
  readonly viewpoint: Viewpoint;
}

/** Takes over the viewpoint. */
export function openerOf(
  { uids, gids, groups, capabilities, isInOurUserNamespace }: ThreadStanding,
  viewpoint: Viewpoint,
): Opener {
  return {
    uid: uids[0] as number,
    euid: uids[1] as number,
    egid: gids[1] as number,
    groups,
    hasIpcOwner: isInOurUserNamespace && (((capabilities[2] as bigint) >> CAP_IPC_OWNER) & 1n) === 1n,
    viewpoint,
  };
}
