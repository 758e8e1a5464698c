import type { Bytes } from '../../base/bytes.js';
import { Errno } from '../../base/errno.js';
import type { Caller } from '../../device.js';
import { MAX_PAYLOAD } from '../iovec.js';
import { is64, MessageStruct, Send, TransferEntry } from './abi-2026.js';
import { MessageType } from './model/message-2026.js';
import { Multicast } from './model/multicast.js';
import type { Peer } from './model/peer-2026.js';
import { readMessage, type UserMessage } from './user-message.js';
import { readVectors } from './vectors.js';

const U32_MAX = 0xffff_ffff;
const ENTRY_SIZE = TransferEntry.sizeof;
const ID_SIZE = 8;
const INT_SIZE = 4;

/** SEND. */
export function send(peer: Peer, argument: Bytes, caller: Caller): Errno {
  if (!is64(argument, Send.flags, 0)) return Errno.EINVAL;
  const message = readMessage(caller, argument.u64(Send.ptr_message), (memory) =>
    is64(memory, MessageStruct.type, MessageType.USER),
  );
  if (typeof message === 'number') return message;
  if (message.nVecs > U32_MAX) return Errno.EFAULT;
  if (message.nData > MAX_PAYLOAD) return Errno.EMSGSIZE;
  const { objects, bytes } = peer.account.limits;
  if (message.nTransfers > objects || message.nData > bytes) return Errno.EDQUOT;

  const payload = readPayload(message, caller);
  if (typeof payload === 'number') return payload;
  const transaction = new Multicast(peer, payload);
  const carryError = carryAll(transaction, message, caller);
  const error = carryError === Errno.OK ? addressAll(transaction, objects, argument, caller) : carryError;
  if (error === Errno.OK) transaction.commit();
  else transaction.abort();
  return error;
}

/** Copies the payload to memory of the bus. */
function readPayload({ ptrVecs, nVecs, nData }: UserMessage, caller: Caller): Uint8Array | Errno {
  const vectorError = readVectors(caller, ptrVecs, nVecs, nData);
  if (vectorError !== Errno.OK) return vectorError;
  const payload = allocate(nData);
  if (payload === undefined) return Errno.ENOMEM;
  const error = caller.gatherInto(payload, nVecs);
  return error === Errno.OK ? payload : error;
}

function allocate(size: number): Uint8Array | undefined {
  try {
    return new Uint8Array(size);
  } catch {
    return undefined; // a RangeError: there is no memory
  }
}

function carryAll(transaction: Multicast, { ptrTransfers, nTransfers }: UserMessage, caller: Caller): Errno {
  const length = nTransfers * ENTRY_SIZE;
  const memory = caller.scratch(length);
  const readable = Math.floor(caller.read(0, [{ address: Number(ptrTransfers), length }]) / ENTRY_SIZE);
  for (let i = 0; i < nTransfers; i++) {
    if (i >= readable) return Errno.EFAULT;
    if (!is64(memory, i * ENTRY_SIZE + TransferEntry.flags, 0)) return Errno.EINVAL;
    const error = transaction.carry(memory.u64(i * ENTRY_SIZE + TransferEntry.id));
    if (error !== Errno.OK) return error;
  }
  return Errno.OK;
}

/** Adds the destinations, for at most `max` objects in all, and sets what is said of each to 0 up to the first that fails. */
function addressAll(transaction: Multicast, max: number, argument: Bytes, caller: Caller): Errno {
  const count = argument.u64(Send.n_destinations);
  if (count * transaction.objects > max) return Errno.EDQUOT;
  const length = count * ID_SIZE;
  const memory = caller.scratch(length);
  const readable = Math.floor(caller.read(0, [{ address: argument.u64(Send.ptr_destinations), length }]) / ID_SIZE);
  let error: Errno = Errno.OK;
  let done = 0;
  for (; done < count; done++) {
    error = done < readable ? transaction.address(memory.u64(done * ID_SIZE)) : Errno.EFAULT;
    if (error !== Errno.OK) break;
  }
  const writeError = writeErrors(argument.u64(Send.ptr_errors), done, caller);
  return writeError === Errno.OK ? error : writeError;
}

/** NULL is taken for: do not tell me. */
function writeErrors(address: number, count: number, caller: Caller): Errno {
  if (address === 0) return Errno.OK;
  const length = count * INT_SIZE;
  caller.scratch(length).zero(0, length);
  return caller.write(address, length);
}
