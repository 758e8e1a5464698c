import { Creds, ItemType, Pids, Timestamp as TimestampLayout } from '../kdbus-abi.js';
import { type ItemWriter, writeText } from './item-writer.js';
import {
  type MetadataViewpoint,
  seenCapabilities,
  seenGid,
  seenLoginUid,
  seenPid,
  seenUid,
} from './metadata-viewpoint.js';
import type { Audit, Capabilities, Credentials, ProcessIds } from './process-facts.js';

/*
 * The items that tell something of a sender, as whoever gets them sees it.
 */

const U64_SIZE = 8;
/** The number of the last capability, then four sets of two words each. */
const CAPS_SIZE = 36;
const AUDIT_SIZE = 8;

/** When a message was sent: its number on the bus, and two clocks in nanoseconds. */
export interface Timestamp {
  readonly sequence: number;
  readonly monotonic: bigint;
  readonly realtime: bigint;
}

export function writeCredentials(writer: ItemWriter, credentials: Credentials, viewpoint: MetadataViewpoint): void {
  writer.add(ItemType.CREDS, Creds.sizeof, (bytes, offset) => {
    for (const field of ['uid', 'euid', 'suid', 'fsuid'] as const) {
      bytes.setU64(offset + Creds[field], seenUid(viewpoint, credentials[field]));
    }
    for (const field of ['gid', 'egid', 'sgid', 'fsgid'] as const) {
      bytes.setU64(offset + Creds[field], seenGid(viewpoint, credentials[field]));
    }
  });
}

export function writeProcessIds(writer: ItemWriter, ids: ProcessIds, viewpoint: MetadataViewpoint): void {
  writer.add(ItemType.PIDS, Pids.sizeof, (bytes, offset) => {
    for (const field of ['pid', 'tid', 'ppid'] as const) {
      bytes.setU64(offset + Pids[field], seenPid(viewpoint, ids[field]));
    }
  });
}

export function writeGroups(writer: ItemWriter, groups: readonly number[], viewpoint: MetadataViewpoint): void {
  writer.add(ItemType.AUXGROUPS, groups.length * U64_SIZE, (bytes, offset) => {
    for (const [i, gid] of groups.entries()) bytes.setU64(offset + i * U64_SIZE, seenGid(viewpoint, gid));
  });
}

export function writeCapabilities(writer: ItemWriter, capabilities: Capabilities, viewpoint: MetadataViewpoint): void {
  const { inheritable, permitted, effective, bounding } = seenCapabilities(viewpoint, capabilities);
  writer.add(ItemType.CAPS, CAPS_SIZE, (bytes, offset) => {
    bytes.setU32(offset, capabilities.last);
    for (const [i, set] of [inheritable, permitted, effective, bounding].entries()) {
      const known = BigInt.asUintN(capabilities.last + 1, set);
      bytes.setU32(offset + 4 + i * U64_SIZE, Number(known & 0xffff_ffffn));
      bytes.setU32(offset + 8 + i * U64_SIZE, Number(known >> 32n));
    }
  });
}

export function writeAudit(writer: ItemWriter, { sessionId, loginUid }: Audit, viewpoint: MetadataViewpoint): void {
  writer.add(ItemType.AUDIT, AUDIT_SIZE, (bytes, offset) => {
    bytes.setU32(offset, sessionId);
    bytes.setU32(offset + 4, seenLoginUid(viewpoint, loginUid));
  });
}

export function writeOwnedName(writer: ItemWriter, flags: number, name: string): void {
  const text = Buffer.from(name);
  writer.add(ItemType.OWNED_NAME, U64_SIZE + text.length + 1, (bytes, offset) => {
    bytes.setU64(offset, flags);
    writeText(bytes, offset + U64_SIZE, text);
  });
}

export function writeTimestamp(writer: ItemWriter, { sequence, monotonic, realtime }: Timestamp): void {
  writer.add(ItemType.TIMESTAMP, TimestampLayout.sizeof, (bytes, offset) => {
    bytes.setU64(offset + TimestampLayout.seqnum, sequence);
    bytes.setBigU64(offset + TimestampLayout.monotonic_ns, monotonic);
    bytes.setBigU64(offset + TimestampLayout.realtime_ns, realtime);
  });
}
