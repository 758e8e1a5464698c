import { Bytes } from '../base/bytes.js';
import { Errno } from '../base/errno.js';
import { align8 } from '../bus/pool.js';
import type { Slice } from '../bus/slice.js';
import { textItemOf } from './command-parser.js';
import { subjectOf } from './connection-commands.js';
import { Cmd, CmdInfo, CmdList, Info, ItemType } from './kdbus-abi.js';
import type { KdbusCall } from './kdbus-call.js';
import { attachFlagsAt, creatorFlags, infoFlags } from './model/attach-flags.js';
import { ItemWriter } from './model/item-writer.js';
import type { KdbusConnection } from './model/kdbus-connection.js';
import { type MetadataSubject, writeMetadata } from './model/metadata.js';
import { writeOwnedName } from './model/metadata-codec.js';
import { listNames } from './model/name-list.js';
import { seesName, seesParty } from './model/policy.js';
import { ThreadFacts } from './thread-facts.js';

const writer = new ItemWriter();

/** A `struct kdbus_info` with these items. */
function info(id: number, flags: number, items: Uint8Array): Uint8Array {
  const bytes = new Bytes(new ArrayBuffer(align8(Info.sizeof + items.length)));
  bytes.setU64(Info.size, bytes.size);
  bytes.setU64(Info.id, id);
  bytes.setU64(Info.flags, flags);
  bytes.u8.set(items, Info.sizeof);
  return bytes.u8;
}

/** Puts a result into a connection's pool, as its user's. */
export function publish({ slices, pool }: KdbusConnection, bytes: Uint8Array): Slice | Errno {
  const slice = slices.reserve(bytes.length);
  if (slice === undefined) return Errno.EXFULL;
  const isWritten = pool.memory.write(slice.offset, bytes);
  if (isWritten) slices.expose(slice);
  slices.dequeue(slice);
  return isWritten ? slice : Errno.ENOMEM;
}

/** CONN_INFO. */
export function connectionInfo(connection: KdbusConnection, call: KdbusCall): Errno {
  const { bytes, items } = call.command;
  const requested = attachFlagsAt(bytes, CmdInfo.attach_flags);
  if (requested === undefined) return Errno.EINVAL;
  const target = findTarget(connection, call, textItemOf(items, ItemType.NAME), bytes.u64(CmdInfo.id));
  if (typeof target === 'number') return target;
  const { profile, claims } = target;
  const subject = { process: profile.facts.process, claims, description: profile.description };
  const error = write(connection, call, infoFlags(target.attachSend, requested), subject);
  if (error !== Errno.OK) return error;
  return answer(connection, call, info(target.id, profile.flags, writer.take()));
}

/** By name, ESRCH, or by id, ENXIO; whatever the caller does not see is not there. */
function findTarget(
  connection: KdbusConnection,
  call: KdbusCall,
  name: string | undefined,
  id: number,
): KdbusConnection | Errno {
  const { bus, endpointPolicy } = connection;
  if (name === undefined && id === 0) return Errno.EINVAL;
  const subject = endpointPolicy === undefined ? connection.opener : subjectOf(call.caller);
  if (typeof subject === 'number') return subject;
  if (name === undefined) {
    const target = bus.connections.get(id);
    return target !== undefined && seesParty(connection, subject, target) ? target : Errno.ENXIO;
  }
  const holder = bus.names.ownerOf(name)?.holder;
  if (holder === undefined || !seesName(connection, subject, name)) return Errno.ESRCH;
  return id === 0 || id === holder.id ? holder : Errno.ESRCH;
}

/** BUS_CREATOR_INFO. */
export function busCreatorInfo(connection: KdbusConnection, call: KdbusCall): Errno {
  const { bus } = connection;
  const requested = attachFlagsAt(call.command.bytes, CmdInfo.attach_flags);
  if (requested === undefined) return Errno.EINVAL;
  const { profile } = bus;
  writer.clear();
  writer.addText(ItemType.MAKE_NAME, Buffer.from(profile.name));
  const subject = { process: profile.creator, claims: new Map(), description: undefined };
  const error = write(connection, call, creatorFlags(profile.creatorFlags, requested), subject);
  return error === Errno.OK ? answer(connection, call, info(bus.id, profile.flags, writer.take())) : error;
}

function write(
  { profile, bus }: KdbusConnection,
  { caller }: KdbusCall,
  flags: number,
  subject: MetadataSubject,
): Errno {
  const facts = new ThreadFacts(caller, bus.domain.lastCapability);
  const reader = {
    viewpoint: profile.facts.viewpoint,
    get callerRoot() {
      return facts.root;
    },
  };
  const error = writeMetadata(writer, flags, subject, reader);
  if (error !== Errno.OK) writer.clear();
  return error;
}

function answer(connection: KdbusConnection, call: KdbusCall, bytes: Uint8Array): Errno {
  const slice = publish(connection, bytes);
  if (typeof slice === 'number') return slice;
  call.set(CmdInfo.offset, slice.offset, slice.size);
  return Errno.OK;
}

/** LIST. */
export function list(connection: KdbusConnection, call: KdbusCall): Errno {
  const subject = connection.endpointPolicy === undefined ? connection.opener : subjectOf(call.caller);
  if (typeof subject === 'number') return subject;
  const records: Uint8Array[] = [];
  const sees = (name: string): boolean => seesName(connection, subject, name);
  const flags = call.command.bytes.u32(Cmd.flags);
  for (const { holder, claim } of listNames(connection.bus.connections.values(), flags, sees)) {
    writer.clear();
    if (claim !== undefined) writeOwnedName(writer, claim.flags, claim.name.text);
    records.push(info(holder.id, holder.profile.flags, writer.take()));
  }
  if (records.length === 0) {
    call.set(CmdList.offset, connection.poolSize, 0);
    return Errno.OK;
  }
  const slice = publish(connection, Buffer.concat(records));
  if (typeof slice === 'number') return slice;
  call.set(CmdList.offset, slice.offset, slice.size);
  return Errno.OK;
}
