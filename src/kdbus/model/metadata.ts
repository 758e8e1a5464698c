import { Errno } from '../../base/errno.js';
import { AttachFlag, ItemType } from '../kdbus-abi.js';
import type { ItemWriter } from './item-writer.js';
import {
  type Timestamp,
  writeAudit,
  writeCapabilities,
  writeCredentials,
  writeGroups,
  writeOwnedName,
  writeProcessIds,
  writeTimestamp,
} from './metadata-codec.js';
import type { MetadataViewpoint } from './metadata-viewpoint.js';
import type { Claim } from './name-claim.js';
import type { Fact, ProcessFacts } from './process-facts.js';

/** Whom metadata is about. */
export interface MetadataSubject {
  readonly process: ProcessFacts;
  /** Of the connection; none for the maker of a bus. */
  readonly claims: ReadonlyMap<string, Claim<unknown>>;
  readonly description: string | undefined;
}

/** Who gets it. */
export interface MetadataReader {
  readonly viewpoint: MetadataViewpoint;
  /** Identifies the root directory of the calling thread: the path of an executable is only told where that is the reader's. */
  readonly callerRoot: Fact<string>;
}

/**
 * Adds the items that AttachFlag bits ask for, as far as there is something to tell, in the order that the contract gives them. Fails if
 * something could not be found out.
 */
export function writeMetadata(
  writer: ItemWriter,
  flags: number,
  { process, claims, description }: MetadataSubject,
  reader: MetadataReader,
  timestamp?: () => Timestamp,
): Errno {
  const error = writeProcess(writer, flags, process, reader);
  if (error !== Errno.OK) return error;
  if ((flags & AttachFlag.NAMES) !== 0) {
    for (const claim of claims.values()) if (!claim.isQueued) writeOwnedName(writer, claim.flags, claim.name.text);
  }
  if ((flags & AttachFlag.CONN_DESCRIPTION) !== 0 && description !== undefined) {
    writer.addText(ItemType.CONN_DESCRIPTION, Buffer.from(description));
  }
  if ((flags & AttachFlag.TIMESTAMP) !== 0 && timestamp !== undefined) writeTimestamp(writer, timestamp());
  return Errno.OK;
}

/** One kind of item of a process: its flag, and how to write it. */
interface Kind {
  readonly flag: number;
  write(writer: ItemWriter, process: ProcessFacts, reader: MetadataReader): Errno;
}

/** In the order of the items. */
const KINDS: readonly Kind[] = [
  kind(AttachFlag.CREDS, ({ credentials }) => credentials, writeCredentials),
  kind(AttachFlag.PIDS, ({ ids }) => ids, writeProcessIds),
  kind(AttachFlag.AUXGROUPS, ({ groups }) => groups, writeGroups),
  text(AttachFlag.TID_COMM, ItemType.TID_COMM, ({ threadName }) => threadName),
  text(AttachFlag.PID_COMM, ItemType.PID_COMM, ({ processName }) => processName),
  text(AttachFlag.EXE, ItemType.EXE, ({ executable }, { viewpoint, callerRoot }) => {
    if (typeof callerRoot === 'number') return callerRoot;
    return callerRoot !== undefined && callerRoot === viewpoint.root ? executable : undefined;
  }),
  text(AttachFlag.CMDLINE, ItemType.CMDLINE, ({ commandLine }) => commandLine),
  text(AttachFlag.CGROUP, ItemType.CGROUP, ({ cgroup }) => cgroup),
  kind(AttachFlag.CAPS, ({ capabilities }) => capabilities, writeCapabilities),
  text(AttachFlag.SECLABEL, ItemType.SECLABEL, ({ securityLabel }) => securityLabel),
  kind(AttachFlag.AUDIT, ({ audit }) => audit, writeAudit),
];

function writeProcess(writer: ItemWriter, flags: number, process: ProcessFacts, reader: MetadataReader): Errno {
  for (const one of KINDS) {
    const error = (flags & one.flag) === 0 ? Errno.OK : one.write(writer, process, reader);
    if (error !== Errno.OK) return error;
  }
  return Errno.OK;
}

function kind<Value extends object>(
  flag: number,
  fact: (process: ProcessFacts, reader: MetadataReader) => Fact<Value>,
  write: (writer: ItemWriter, value: Value, viewpoint: MetadataViewpoint) => void,
): Kind {
  return {
    flag,
    write(writer, process, reader) {
      const value = fact(process, reader);
      if (typeof value === 'number') return value;
      if (value !== undefined) write(writer, value as Value, reader.viewpoint);
      return Errno.OK;
    },
  };
}

function text(
  flag: number,
  type: number,
  fact: (process: ProcessFacts, reader: MetadataReader) => Fact<Uint8Array>,
): Kind {
  return kind(flag, fact, (writer, value) => writer.addText(type, value));
}
