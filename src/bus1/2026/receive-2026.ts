import { Bytes } from '../../base/bytes.js';
import { Errno } from '../../base/errno.js';
import type { Caller, MemoryPart } from '../../device.js';
import { is64, MessageStruct, Metadata, Recv, TransferEntry } from './abi-2026.js';
import type { Cargo, Message } from './model/message-2026.js';
import type { Peer } from './model/peer-2026.js';
import { readMessage, type UserMessage } from './user-message.js';
import { placeVectors, readVectors } from './vectors.js';

const ENTRY_SIZE = TransferEntry.sizeof;
const NOTHING = new Uint8Array(0);

/** RECV. The message stays queued, and its handles take no ids, until all of it has been written. */
export function receive(peer: Peer, argument: Bytes, caller: Caller): Errno {
  if (!is64(argument, Recv.flags, 0)) return Errno.EINVAL;
  const address = argument.u64(Recv.ptr_message);
  const room = readMessage(caller, address, (memory) => memory.isAllOnes64(MessageStruct.type));
  if (typeof room === 'number') return room;
  const message = peer.next();
  if (message === undefined) return Errno.EAGAIN;

  const parts = [
    metadataOf(peer, message, argument.u64(Recv.ptr_metadata)),
    messageOf(message, address, room.ptrTransfers),
  ];
  const { cargo } = message;
  const error =
    cargo === undefined ? caller.scatter(NOTHING, 0, 0, parts) : writeCargo(peer, cargo, address, room, parts, caller);
  if (error === Errno.OK) peer.take(message);
  return error;
}

/** Writes the payload, the ids that carried handles will have, and what else there is to be written. */
function writeCargo(
  peer: Peer,
  cargo: Cargo,
  address: number,
  room: UserMessage,
  parts: readonly MemoryPart[],
  caller: Caller,
): Errno {
  const { handles, payload } = cargo;
  if (handles.length > room.nTransfers || payload.length > room.nData) {
    return fail(Errno.EMSGSIZE, needsOf(cargo, address), caller);
  }
  const transfers = transfersOf(peer, handles.length, Number(room.ptrTransfers));
  const vectors = placeVectors(caller, room.ptrVecs, room.nVecs);
  const error = readVectors(caller, vectors, room.nData);
  if (error === Errno.OK) return caller.scatter(payload, vectors.count, vectors.start, [transfers, ...parts]);
  // that there is no place for the ids comes first
  return fail(error, error === Errno.EMSGSIZE ? [transfers, ...needsOf(cargo, address)] : [transfers], caller);
}

/** Fails, and writes something all the same. */
function fail(error: Errno, parts: readonly MemoryPart[], caller: Caller): Errno {
  const writeError = caller.scatter(NOTHING, 0, 0, parts);
  return writeError === Errno.OK ? error : writeError;
}

/** How much room there has to be for a message at `address`. */
const needsOf = ({ handles, payload }: Cargo, address: number): MemoryPart[] => [
  u64At(address + MessageStruct.n_transfers, handles.length),
  u64At(address + MessageStruct.n_data, payload.length),
];

function u64At(address: number, value: number): MemoryPart {
  const bytes = new Bytes(new ArrayBuffer(8));
  bytes.setU64(0, value);
  return { address, bytes: bytes.u8 };
}

function transfersOf(peer: Peer, count: number, address: number): MemoryPart {
  const bytes = new Bytes(new ArrayBuffer(count * ENTRY_SIZE));
  for (let i = 0; i < count; i++) bytes.setU64(i * ENTRY_SIZE + TransferEntry.id, peer.idAfter(i));
  return { address, bytes: bytes.u8 };
}

/** Who sent it is told as the receiver sees it; a notification comes from nobody. */
function metadataOf(peer: Peer, { subject, cargo }: Message, address: number): MemoryPart {
  const bytes = new Bytes(new ArrayBuffer(Metadata.sizeof));
  bytes.setU64(Metadata.id, subject.id);
  if (cargo === undefined) bytes.setAllOnes64(Metadata.account);
  else bytes.setU64(Metadata.account, cargo.sender.seenFrom(peer.opener.viewpoint).uid);
  return { address, bytes: bytes.u8 };
}

/** The message as far as it changes: the vectors stay as they are. */
function messageOf({ type, cargo }: Message, address: number, ptrTransfers: bigint): MemoryPart {
  const bytes = new Bytes(new ArrayBuffer(MessageStruct.n_data_vecs));
  bytes.setU64(MessageStruct.type, type);
  bytes.setU64(MessageStruct.n_transfers, cargo?.handles.length ?? 0);
  bytes.setBigU64(MessageStruct.ptr_transfers, ptrTransfers);
  bytes.setU64(MessageStruct.n_data, cargo?.payload.length ?? 0);
  return { address, bytes: bytes.u8 };
}
