import { Bytes } from '../../base/bytes.js';
import { Errno } from '../../base/errno.js';
import type { Caller, MemoryPart } from '../../device.js';
import { Bus1File } from '../bus1-file.js';
import { is64, Transfer, TransferEntry, TransferFlag } from './abi-2026.js';
import type { Peer } from './model/peer-2026.js';
import { TransferTransaction } from './model/transfer.js';

const INT_MAX = 0x7fff_ffff;
const ENTRY_SIZE = TransferEntry.sizeof;
const NOTHING = new Uint8Array(0);

/** TRANSFER. If it fails, what was done before the entry that failed is told all the same. */
export function transfer(peer: Peer, argument: Bytes, caller: Caller): Errno {
  if (!is64(argument, Transfer.flags, 0)) return Errno.EINVAL;
  const receiver = receiverOf(peer, argument, caller);
  if (typeof receiver === 'number') return receiver;
  const count = argument.u64(Transfer.n_transfers);
  if (count > peer.account.limits.objects) return Errno.EDQUOT;

  const length = count * ENTRY_SIZE;
  const source = caller.scratch(length);
  const readable = Math.floor(caller.read(0, [{ address: argument.u64(Transfer.ptr_src), length }]) / ENTRY_SIZE);
  const transaction = new TransferTransaction(peer, receiver);
  try {
    const results = new Results(source, count);
    const error = transferAll(transaction, source, count, readable, results);
    const writeError = caller.scatter(NOTHING, 0, 0, results.parts(argument));
    const result = writeError === Errno.OK ? error : writeError;
    if (result === Errno.OK) transaction.commit();
    else transaction.abort();
    return result;
  } catch (thrown) {
    transaction.withdraw();
    throw thrown;
  }
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
function transferAll(
  transaction: TransferTransaction,
  source: Bytes,
  count: number,
  readable: number,
  results: Results,
): Errno {
  for (let i = 0; i < count; i++) {
    if (i >= readable) return Errno.EFAULT;
    const error = transferOne(transaction, source, i, results);
    if (error !== Errno.OK) return error;
  }
  return Errno.OK;
}

function transferOne(transaction: TransferTransaction, source: Bytes, index: number, results: Results): Errno {
  const flags = index * ENTRY_SIZE + TransferEntry.flags;
  const id = index * ENTRY_SIZE + TransferEntry.id;
  const copies = is64(source, flags, 0);
  if (!copies && !(is64(source, flags, TransferFlag.CREATE) && source.isAllOnes64(id))) return Errno.EINVAL;
  const node = copies ? transaction.find(source.u64(id)) : transaction.create();
  if (typeof node === 'number') return node;
  if (!copies) results.addNode(index, node.id);
  const handle = transaction.give(node);
  if (typeof handle === 'number') return handle;
  results.addHandle(index, handle.id);
  return Errno.OK;
}

/** What TRANSFER has to tell. */
class Results {
  private readonly source: Bytes;
  private readonly handles: Bytes;
  private nHandles = 0;
  /** The source with the new ids in it, which are in the entries from `first` on, and before `end`. */
  private nodes: Bytes | undefined;
  private first = 0;
  private end = 0;

  constructor(source: Bytes, count: number) {
    this.source = source;
    this.handles = new Bytes(new ArrayBuffer(count * ENTRY_SIZE));
  }

  addNode(index: number, id: number): void {
    if (this.nodes === undefined) {
      this.first = index;
      this.nodes = new Bytes(this.source.u8.slice(0, this.handles.size).buffer);
    }
    this.end = index + 1;
    setEntry(this.nodes, index, id);
  }

  addHandle(index: number, id: number): void {
    this.nHandles = index + 1;
    setEntry(this.handles, index, id);
  }

  /** In this order, so that the handles are in an array that is the source as well. */
  parts(argument: Bytes): MemoryPart[] {
    const part = (bytes: Bytes | undefined, first: number, end: number, address: number): MemoryPart => ({
      address: address + first * ENTRY_SIZE,
      bytes: bytes?.u8.subarray(first * ENTRY_SIZE, end * ENTRY_SIZE) ?? NOTHING,
    });
    return [
      part(this.nodes, this.first, this.end, argument.u64(Transfer.ptr_src)),
      part(this.handles, 0, this.nHandles, argument.u64(Transfer.ptr_dst)),
    ];
  }
}

function setEntry(memory: Bytes, index: number, id: number): void {
  memory.setU64(index * ENTRY_SIZE + TransferEntry.flags, 0);
  memory.setU64(index * ENTRY_SIZE + TransferEntry.id, id);
}
