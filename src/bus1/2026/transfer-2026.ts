import type { Bytes } from '../../base/bytes.js';
import { Errno } from '../../base/errno.js';
import type { Caller } from '../../device.js';
import { Bus1File } from '../bus1-file.js';
import { is64, Transfer, TransferEntry, TransferFlag } from './abi-2026.js';
import type { Handle } from './model/node-2026.js';
import type { Peer } from './model/peer-2026.js';
import { TransferTransaction } from './model/transfer.js';

const INT_MAX = 0x7fff_ffff;
const ENTRY_SIZE = TransferEntry.sizeof;

/** The array that TRANSFER works through, with the new ids put in its place, and right behind it what it gives. */
interface Entries {
  readonly memory: Bytes;
  readonly count: number;
  /** How many could be read. */
  readonly readable: number;
  /** How many are done. */
  done: number;
  /** The first that made a node, and the one behind the last. */
  created: number;
  createdEnd: number;
}

/** TRANSFER. If it fails, the entries before the one that failed are written all the same. */
export function transfer(peer: Peer, argument: Bytes, caller: Caller): Errno {
  if (!is64(argument, Transfer.flags, 0)) return Errno.EINVAL;
  const receiver = receiverOf(peer, argument, caller);
  if (typeof receiver === 'number') return receiver;
  const count = argument.u64(Transfer.n_transfers);
  if (count > peer.account.limits.objects) return Errno.EDQUOT;

  const length = count * ENTRY_SIZE;
  const memory = caller.scratch(2 * length);
  const readable = Math.floor(caller.read(0, [{ address: argument.u64(Transfer.ptr_src), length }]) / ENTRY_SIZE);
  const entries: Entries = { memory, count, readable, done: 0, created: count, createdEnd: 0 };
  const transaction = new TransferTransaction(peer, receiver);
  const error = transferAll(transaction, entries);
  const writeError = write(entries, argument, caller);
  const result = writeError === Errno.OK ? error : writeError;
  if (result === Errno.OK) transaction.commit();
  else transaction.abort();
  return result;
}

function receiverOf(peer: Peer, argument: Bytes, caller: Caller): Peer | Errno {
  if (argument.isAllOnes64(Transfer.to)) return peer;
  const fd = argument.u64(Transfer.to);
  if (fd > INT_MAX) return Errno.EBADF;
  const file = caller.openFile(fd);
  if (typeof file === 'number') return file;
  return (file instanceof Bus1File ? file.speak2026() : undefined) ?? Errno.EOPNOTSUPP;
}

/** Reserves one after the other, until one fails. */
function transferAll(transaction: TransferTransaction, entries: Entries): Errno {
  for (; entries.done < entries.count; entries.done++) {
    if (entries.done >= entries.readable) return Errno.EFAULT;
    const handle = transferNext(transaction, entries);
    if (typeof handle === 'number') return handle;
    setEntry(entries.memory, entries.count + entries.done, handle.id);
  }
  return Errno.OK;
}

function transferNext(transaction: TransferTransaction, entries: Entries): Handle | Errno {
  const { memory, done } = entries;
  const flags = done * ENTRY_SIZE + TransferEntry.flags;
  const id = done * ENTRY_SIZE + TransferEntry.id;
  if (is64(memory, flags, 0)) return transaction.copy(memory.u64(id));
  if (!is64(memory, flags, TransferFlag.CREATE) || !memory.isAllOnes64(id)) return Errno.EINVAL;
  const node = transaction.create();
  if (typeof node === 'number') return node;
  setEntry(memory, done, node.id);
  entries.created = Math.min(entries.created, done);
  entries.createdEnd = done + 1;
  return transaction.give(node);
}

function setEntry(memory: Bytes, index: number, id: number): void {
  memory.setU64(index * ENTRY_SIZE + TransferEntry.flags, 0);
  memory.setU64(index * ENTRY_SIZE + TransferEntry.id, id);
}

/** Tells the caller of the nodes that were made, in one piece, and of the handles. */
function write({ memory, count, done, created, createdEnd }: Entries, argument: Bytes, caller: Caller): Errno {
  const copy = (first: number, end: number, address: number): Errno => {
    memory.u8.copyWithin(0, first * ENTRY_SIZE, end * ENTRY_SIZE);
    return caller.write(address, (end - first) * ENTRY_SIZE);
  };
  if (created < createdEnd) {
    const error = copy(created, createdEnd, argument.u64(Transfer.ptr_src) + created * ENTRY_SIZE);
    if (error !== Errno.OK) return error;
  }
  return copy(count, count + done, argument.u64(Transfer.ptr_dst));
}
