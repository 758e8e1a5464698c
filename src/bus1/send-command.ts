import { Bytes } from '../base/bytes.js';
import { Errno } from '../base/errno.js';
import { type Caller, type HeldFiles, type Identity, type MemoryRange, Suspension } from '../device.js';
import { BUS1_FD_MAX, BUS1_VEC_MAX, onlyFlags, readHandleId, Send, SendFlag } from './bus1-abi.js';
import type { Bus1File } from './bus1-file.js';
import { COMPAT_IOVEC_SIZE, IOVEC_SIZE, isNegative, MAX_PAYLOAD, USER_SPACE_END, widenVecs } from './iovec.js';
import { SendTransaction } from './model/send.js';

const INT_MAX = 0x7fff_ffff;
const ID_SIZE = 8;
const INT_SIZE = 4;

/** A SEND, decoded. */
interface SendCall {
  readonly file: Bus1File;
  readonly caller: Caller;
  readonly isSeed: boolean;
  /** CONTINUE: errors of the receiving side do not fail it. */
  readonly isTolerant: boolean;
  readonly nDestinations: number;
  readonly nVecs: number;
  readonly nHandles: number;
  readonly nFds: number;
  readonly ptrErrors: number;
}

/**
 * The arrays a SEND points to, fetched to the caller's scratch memory in one go: the vectors first, the others at these
 * offsets, and how many entries could be read. An unreadable entry is an error in its turn, after those of the entries
 * before it.
 */
interface Arrays {
  readonly memory: Bytes;
  readonly handles: number;
  readonly fds: number;
  readonly destinations: number;
  readonly hasVecs: boolean;
  readonly readableHandles: number;
  readonly readableFds: number;
  readonly readableDestinations: number;
}

/** SEND. The order of the checks is the contract's, section 6. */
export function send(file: Bus1File, argument: Bytes, caller: Caller): Errno {
  if (!onlyFlags(argument, Send.flags, SendFlag.CONTINUE | SendFlag.SEED)) return Errno.EINVAL;
  const flags = argument.u32(Send.flags);
  const call: SendCall = {
    file,
    caller,
    isSeed: (flags & SendFlag.SEED) !== 0,
    isTolerant: (flags & SendFlag.CONTINUE) !== 0,
    nDestinations: argument.u64(Send.n_destinations),
    nVecs: argument.u64(Send.n_vecs),
    nHandles: argument.u64(Send.n_handles),
    nFds: argument.u64(Send.n_fds),
    ptrErrors: argument.u64(Send.ptr_errors),
  };
  if (call.isSeed && (call.isTolerant || call.nDestinations !== 0)) return Errno.EINVAL;
  if (call.nDestinations > INT_MAX || call.nVecs > BUS1_VEC_MAX || call.nFds > BUS1_FD_MAX) return Errno.EMSGSIZE;
  const { peer: sender } = file;
  const maxHandles = sender.user.limits.handles;
  if (call.nDestinations > maxHandles) return Errno.EINVAL;
  if (call.nHandles > maxHandles) return Errno.EDQUOT;

  const arrays = fetchArrays(call, argument);
  if (!arrays.hasVecs) return Errno.EFAULT;
  const nBytes = payloadSize(arrays.memory, call.nVecs);
  if (nBytes < 0) return -nBytes as Errno;

  const transaction = new SendTransaction(sender, nBytes, caller);
  let origin: Identity | Errno;
  try {
    const error = prepare(transaction, call, arrays, nBytes);
    origin = error === Errno.OK ? caller.identity() : error;
  } catch (thrown) {
    // the payload may still be written to the slices
    transaction.abort(thrown instanceof Suspension ? thrown : undefined);
    throw thrown;
  }
  if (typeof origin === 'number') {
    transaction.abort();
    return origin === Errno.ENFILE ? Errno.EDQUOT : origin;
  }
  transaction.commit(origin);
  return Errno.OK;
}

/** Everything that may fail once the payload's size is known. */
function prepare(transaction: SendTransaction, call: SendCall, arrays: Arrays, nBytes: number): Errno {
  const { caller } = call;
  for (let i = 0; i < call.nHandles; i++) {
    if (i >= arrays.readableHandles) return Errno.EFAULT;
    const error = transaction.carry(readHandleId(arrays.memory, arrays.handles + i * ID_SIZE));
    if (error !== Errno.OK) return error;
  }
  const files = takeFiles(call, arrays);
  if (typeof files === 'number') return files;
  transaction.attach(files);

  const results: Errno[] = [];
  const addressError = call.isSeed ? transaction.addressSeed() : addressAll(transaction, call, arrays, results);
  // A payload that cannot be read is the failure of the first destination, before any of a later one.
  const targets = transaction.deliveries.map(
    ({ receiver, slice }) => receiver.slices.pool.memory.address + slice.offset,
  );
  const copyError = caller.gather(nBytes, call.nVecs, targets);
  if (copyError !== Errno.OK) return copyError;
  for (const { receiver, slice, layout, secctx } of transaction.deliveries) {
    if (secctx === undefined) continue;
    if (!receiver.slices.pool.memory.write(slice.offset + layout.secctx, secctx)) return Errno.ENOMEM;
  }
  if (addressError !== Errno.OK) return addressError;
  const ownError = transaction.checkOwnNodes();
  if (ownError !== Errno.OK || !call.isTolerant) return ownError;
  return writeErrors(call, results);
}

function takeFiles({ file, caller, nFds }: SendCall, arrays: Arrays): HeldFiles | undefined | Errno {
  if (nFds === 0) return undefined;
  const numbers = Array.from({ length: arrays.readableFds }, (_, i) => arrays.memory.i32(arrays.fds + i * INT_SIZE));
  const files = caller.takeFiles(numbers);
  if (files === Errno.EDQUOT) return file.refuseDescriptors(nFds);
  if (typeof files === 'number' || arrays.readableFds === nFds) return files;
  files.release();
  return Errno.EFAULT;
}

function addressAll(transaction: SendTransaction, call: SendCall, arrays: Arrays, results: Errno[]): Errno {
  for (let i = 0; i < call.nDestinations; i++) {
    if (i >= arrays.readableDestinations) return Errno.EFAULT;
    const result = transaction.address(readHandleId(arrays.memory, arrays.destinations + i * ID_SIZE));
    if (result !== Errno.OK && !(call.isTolerant && isReceivers(result))) return result;
    results.push(result);
  }
  return Errno.OK;
}

/** Errors of the receiving side, which CONTINUE reports instead of failing. */
const isReceivers = (error: Errno): boolean =>
  error === Errno.ESHUTDOWN || error === Errno.EDQUOT || error === Errno.EXFULL;

function writeErrors({ caller, ptrErrors }: SendCall, results: readonly Errno[]): Errno {
  if (ptrErrors === 0) return Errno.OK;
  const size = results.length * INT_SIZE;
  const errors = new Bytes(new ArrayBuffer(size));
  for (const [i, result] of results.entries()) errors.setI32(i * INT_SIZE, result);
  return caller.write(ptrErrors, errors, size);
}

function fetchArrays({ caller, nVecs, nHandles, nFds, nDestinations }: SendCall, argument: Bytes): Arrays {
  const vecSize = nVecs * (caller.is32Bit ? COMPAT_IOVEC_SIZE : IOVEC_SIZE);
  // A 32-bit caller's are read to behind where they are widened to, and stay as they are for a call that is suspended.
  const vecsRead = caller.is32Bit ? nVecs * IOVEC_SIZE : 0;
  const handles = vecsRead + vecSize;
  const destinations = handles + nHandles * ID_SIZE;
  const fds = destinations + nDestinations * ID_SIZE;
  const end = fds + nFds * INT_SIZE;
  const memory = caller.scratch(end);
  const vecRange: MemoryRange = { address: argument.u64(Send.ptr_vecs), length: vecSize };
  const handleRange: MemoryRange = { address: argument.u64(Send.ptr_handles), length: nHandles * ID_SIZE };
  const destinationRange: MemoryRange = {
    address: argument.u64(Send.ptr_destinations),
    length: nDestinations * ID_SIZE,
  };
  const fdRange: MemoryRange = { address: argument.u64(Send.ptr_fds), length: nFds * INT_SIZE };
  const ranges = [vecRange, handleRange, destinationRange, fdRange];
  const isComplete = caller.read(vecsRead, ranges, caller.is32Bit ? 0 : nVecs) === end - vecsRead;
  const readable = (offset: number, range: MemoryRange): number =>
    isComplete ? range.length : caller.read(offset, [range]);
  const hasVecs = readable(vecsRead, vecRange) === vecSize;
  if (caller.is32Bit && hasVecs) widenVecs(memory, vecsRead, 0, nVecs);
  return {
    memory,
    handles,
    fds,
    destinations,
    hasVecs,
    readableHandles: Math.floor(readable(handles, handleRange) / ID_SIZE),
    readableFds: Math.floor(readable(fds, fdRange) / INT_SIZE),
    readableDestinations: Math.floor(readable(destinations, destinationRange) / ID_SIZE),
  };
}

/** The sum of the vectors' lengths, or a negative errno. */
function payloadSize(memory: Bytes, nVecs: number): number {
  let total = 0;
  for (let i = 0; i < nVecs; i++) {
    const base = memory.u64(i * IOVEC_SIZE);
    const length = memory.u64(i * IOVEC_SIZE + 8);
    if (isNegative(memory, i * IOVEC_SIZE)) return -Errno.EMSGSIZE;
    if (base + length > USER_SPACE_END) return -Errno.EFAULT;
    if (total + length > MAX_PAYLOAD) return -Errno.EMSGSIZE;
    total += length;
  }
  return total;
}
