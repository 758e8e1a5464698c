import type { Bytes } from '../../base/bytes.js';
import { ATTACH_ALL, AttachFlag } from '../kdbus-abi.js';

/** What is public: known to everybody who may talk to a connection. */
const PUBLIC =
  AttachFlag.TIMESTAMP |
  AttachFlag.CREDS |
  AttachFlag.PIDS |
  AttachFlag.AUXGROUPS |
  AttachFlag.NAMES |
  AttachFlag.CONN_DESCRIPTION;

/** What is not of a process but of a connection or a message. */
const OF_CONNECTION = AttachFlag.TIMESTAMP | AttachFlag.NAMES | AttachFlag.CONN_DESCRIPTION;

/** Reads AttachFlag bits, or all ones for all of them; undefined if there is any other bit. */
export function attachFlagsAt(bytes: Bytes, offset: number): number | undefined {
  if (bytes.isAllOnes64(offset)) return ATTACH_ALL;
  const flags = bytes.u64(offset);
  return flags > ATTACH_ALL ? undefined : flags;
}

/** What a message carries of all that its receiver wants, even if the receiver does not see the sending thread. If it does, all. */
export const grantedFlags = (given: number, wanted: number): number => wanted & (given | PUBLIC);

/** What CONN_INFO tells of a connection. */
export const infoFlags = (given: number, requested: number): number => given & requested & ~AttachFlag.TIMESTAMP;

/** What BUS_CREATOR_INFO tells of whoever made a bus. */
export const creatorFlags = (given: number, requested: number): number => given & requested & ~OF_CONNECTION;
