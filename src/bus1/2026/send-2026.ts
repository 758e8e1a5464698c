import { Bytes } from '../../base/bytes.js';
import { Errno } from '../../base/errno.js';
import type { Caller, MemoryRange } from '../../device.js';
import { MAX_PAYLOAD } from '../iovec.js';
import { is64, MessageStruct, Send, TransferEntry } from './abi-2026.js';
import { MessageType } from './model/message-2026.js';
import { Multicast } from './model/multicast.js';
import type { Peer } from './model/peer-2026.js';
import { readMessage, type UserMessage } from './user-message.js';
import { checkVectors, IOV_MAX, placeVectors, type Vectors } from './vectors.js';

const U32_MAX = 0xffff_ffff;
const ENTRY_SIZE = TransferEntry.sizeof;
const ID_SIZE = 8;
const INT_SIZE = 4;

/**
 * The arrays that a SEND points to, fetched in one go, by their offsets in the scratch memory, and how many entries could be read.
 * An unreadable entry is an error in its turn, after those of the entries before it.
 */
interface Arrays {
  readonly memory: Bytes;
  readonly vectors: Vectors;
  readonly hasVectors: boolean;
  readonly transfers: number;
  readonly nTransfers: number;
  readonly readableTransfers: number;
  readonly destinations: number;
  readonly nDestinations: number;
  readonly readableDestinations: number;
}

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
  if (message.nVecs > IOV_MAX) return Errno.EINVAL;

  const nDestinations = argument.u64(Send.n_destinations);
  // one call makes no more than a user may have
  const isTooMuch = nDestinations * (1 + message.nTransfers) > objects;
  const arrays = fetchArrays(message, isTooMuch ? 0 : nDestinations, argument, caller);
  const payload = fetchPayload(arrays, message, caller);
  if (typeof payload === 'number') return payload;
  const transaction = new Multicast(peer, payload);
  let error: Errno;
  try {
    error = carryAll(transaction, arrays);
    if (error === Errno.OK && isTooMuch) error = Errno.EDQUOT;
    if (error === Errno.OK) error = addressAll(transaction, arrays, argument.u64(Send.ptr_errors), caller);
  } catch (thrown) {
    transaction.abort();
    throw thrown;
  }
  if (error === Errno.OK) transaction.commit();
  else transaction.abort();
  return error;
}

function fetchArrays(message: UserMessage, nDestinations: number, argument: Bytes, caller: Caller): Arrays {
  const { nTransfers } = message;
  const vectors = placeVectors(caller, message.ptrVecs, message.nVecs);
  const transfers = vectors.end;
  const destinations = transfers + nTransfers * ENTRY_SIZE;
  const end = destinations + nDestinations * ID_SIZE;
  const memory = caller.scratch(end);
  const transferRange: MemoryRange = { address: Number(message.ptrTransfers), length: nTransfers * ENTRY_SIZE };
  const destinationRange: MemoryRange = {
    address: argument.u64(Send.ptr_destinations),
    length: nDestinations * ID_SIZE,
  };
  const ranges = [vectors.range, transferRange, destinationRange];
  const { readStart } = vectors;
  const isComplete = caller.read(readStart, ranges, caller.is32Bit ? 0 : message.nVecs) === end - readStart;
  const readable = (offset: number, range: MemoryRange): number =>
    isComplete ? range.length : caller.read(offset, [range]);
  return {
    memory,
    vectors,
    hasVectors: readable(readStart, vectors.range) === vectors.range.length,
    transfers,
    nTransfers,
    readableTransfers: Math.floor(readable(transfers, transferRange) / ENTRY_SIZE),
    destinations,
    nDestinations,
    readableDestinations: Math.floor(readable(destinations, destinationRange) / ID_SIZE),
  };
}

/** Copies the payload to memory of the bus. */
function fetchPayload(
  { memory, vectors, hasVectors }: Arrays,
  { nData }: UserMessage,
  caller: Caller,
): Uint8Array | Errno {
  if (!hasVectors) return Errno.EFAULT;
  const error = checkVectors(memory, vectors, caller.is32Bit, nData);
  return error === Errno.OK ? caller.fetch(nData, vectors.count, vectors.start) : error;
}

function carryAll(transaction: Multicast, { memory, transfers, nTransfers, readableTransfers }: Arrays): Errno {
  for (let i = 0; i < nTransfers; i++) {
    if (i >= readableTransfers) return Errno.EFAULT;
    const entry = transfers + i * ENTRY_SIZE;
    if (!is64(memory, entry + TransferEntry.flags, 0)) return Errno.EINVAL;
    const error = transaction.carry(memory.u64(entry + TransferEntry.id));
    if (error !== Errno.OK) return error;
  }
  return Errno.OK;
}

/** Adds the destinations, and sets what is said of each to 0 up to the first that fails. */
function addressAll(transaction: Multicast, arrays: Arrays, ptrErrors: number, caller: Caller): Errno {
  const { memory, destinations, nDestinations, readableDestinations } = arrays;
  let error: Errno = Errno.OK;
  let done = 0;
  for (; done < nDestinations; done++) {
    error = done < readableDestinations ? transaction.address(memory.u64(destinations + done * ID_SIZE)) : Errno.EFAULT;
    if (error !== Errno.OK) break;
  }
  const writeError = writeErrors(ptrErrors, done, caller);
  return writeError === Errno.OK ? error : writeError;
}

/** NULL is taken for: do not tell me. */
function writeErrors(address: number, count: number, caller: Caller): Errno {
  if (address === 0) return Errno.OK;
  const size = count * INT_SIZE;
  return caller.write(address, new Bytes(new ArrayBuffer(size)), size);
}
