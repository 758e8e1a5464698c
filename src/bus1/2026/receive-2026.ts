import type { Bytes } from '../../base/bytes.js';
import { Errno } from '../../base/errno.js';
import type { Caller } from '../../device.js';
import { is64, MessageStruct, Metadata, Recv, TransferEntry } from './abi-2026.js';
import type { Cargo, Message } from './model/message-2026.js';
import type { Peer } from './model/peer-2026.js';
import { readMessage, type UserMessage } from './user-message.js';
import { readVectors } from './vectors.js';

const ENTRY_SIZE = TransferEntry.sizeof;

/** RECV. The message stays queued, and its handles take no ids, until all of it has been written. */
export function receive(peer: Peer, argument: Bytes, caller: Caller): Errno {
  if (!is64(argument, Recv.flags, 0)) return Errno.EINVAL;
  const address = argument.u64(Recv.ptr_message);
  const room = readMessage(caller, address, (memory) => memory.isAllOnes64(MessageStruct.type));
  if (typeof room === 'number') return room;
  const message = peer.next();
  if (message === undefined) return Errno.EAGAIN;

  const { cargo } = message;
  if (cargo !== undefined) {
    const error = writeCargo(peer, cargo, room, caller);
    if (error === Errno.EMSGSIZE) return writeNeeds(address, cargo, caller);
    if (error !== Errno.OK) return error;
  }
  const metadataError = writeMetadata(peer, message, argument.u64(Recv.ptr_metadata), caller);
  if (metadataError !== Errno.OK) return metadataError;
  const error = writeMessage(message, address, room, caller);
  if (error === Errno.OK) peer.take(message);
  return error;
}

/** Writes the ids that carried handles will have, and the payload. */
function writeCargo(peer: Peer, { handles, payload }: Cargo, room: UserMessage, caller: Caller): Errno {
  if (handles.length > room.nTransfers || payload.length > room.nData) return Errno.EMSGSIZE;
  const memory = caller.scratch(handles.length * ENTRY_SIZE);
  for (let i = 0; i < handles.length; i++) {
    memory.setU64(i * ENTRY_SIZE + TransferEntry.flags, 0);
    memory.setU64(i * ENTRY_SIZE + TransferEntry.id, peer.idAfter(i));
  }
  const error = caller.write(Number(room.ptrTransfers), handles.length * ENTRY_SIZE);
  if (error !== Errno.OK) return error;
  const vectorError = readVectors(caller, room.ptrVecs, room.nVecs, room.nData);
  return vectorError === Errno.OK ? caller.scatter(payload, room.nVecs) : vectorError;
}

/** EMSGSIZE, and says how much room there has to be. */
function writeNeeds(address: number, { handles, payload }: Cargo, caller: Caller): Errno {
  const memory = caller.scratch(8);
  memory.setU64(0, handles.length);
  const error = caller.write(address + MessageStruct.n_transfers, 8);
  if (error !== Errno.OK) return error;
  memory.setU64(0, payload.length);
  const dataError = caller.write(address + MessageStruct.n_data, 8);
  return dataError === Errno.OK ? Errno.EMSGSIZE : dataError;
}

/** Who sent it is told as the receiver sees it; a notification comes from nobody. */
function writeMetadata(peer: Peer, { subject, cargo }: Message, address: number, caller: Caller): Errno {
  const memory = caller.scratch(Metadata.sizeof);
  memory.setU64(Metadata.flags, 0);
  memory.setU64(Metadata.id, subject.id);
  if (cargo === undefined) memory.setAllOnes64(Metadata.account);
  else memory.setU64(Metadata.account, cargo.sender.seenFrom(peer.opener.viewpoint).uid);
  return caller.write(address, Metadata.sizeof);
}

/** Leaves the vectors as they are. */
function writeMessage({ type, cargo }: Message, address: number, room: UserMessage, caller: Caller): Errno {
  const memory = caller.scratch(MessageStruct.sizeof);
  memory.setU64(MessageStruct.flags, 0);
  memory.setU64(MessageStruct.type, type);
  memory.setU64(MessageStruct.n_transfers, cargo?.handles.length ?? 0);
  memory.setBigU64(MessageStruct.ptr_transfers, room.ptrTransfers);
  memory.setU64(MessageStruct.n_data, cargo?.payload.length ?? 0);
  return caller.write(address, MessageStruct.n_data_vecs);
}
