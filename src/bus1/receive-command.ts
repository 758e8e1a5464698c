import type { Bytes } from '../bytes.js';
import { Errno } from '../errno.js';
import type { SharedMemory } from '../linux/memory.js';
import { NativeBuffer } from '../linux/native-buffer.js';
import {
  Message2019Flag,
  MessageFlag,
  onlyFlags,
  Recv,
  Recv2019,
  Recv2019Flag,
  RecvFlag,
  writeHandleId,
} from './abi.js';
import type { Cargo, Message, Sender } from './model/message.js';
import type { Peer } from './model/peer.js';
import { sliceLayout } from './model/send.js';

const ID_SIZE = 8;
/** uid and gid of a notification. */
const NO_ID = 0xffff_ffff;

let ids = new NativeBuffer(4096);

/** RECV in either revision of the header, which the size of its argument tells. */
export function receive(peer: Peer, memory: SharedMemory, is2019: boolean, argument: Bytes): Errno {
  const known = is2019 ? Recv2019Flag : RecvFlag;
  const peekFlag = is2019 ? 0 : RecvFlag.PEEK;
  if (!onlyFlags(argument, Recv.flags, known.SEED | known.INSTALL_FDS | peekFlag)) return Errno.EINVAL;
  const flags = argument.u32(Recv.flags);
  const message = (flags & known.SEED) !== 0 ? peer.seed : peer.nextMessage();
  if (message === undefined) return Errno.EAGAIN;
  const { cargo } = message;
  if (cargo !== undefined && cargo.slice.end > argument.u64(Recv.max_offset)) return Errno.ERANGE;

  const successor = message.next;
  if ((flags & peekFlag) !== 0) {
    if (!peer.peek(message)) return Errno.EDQUOT;
  } else {
    peer.take(message);
    cargo?.files?.release();
  }
  if (cargo !== undefined && !exposeHandles(message, cargo, memory)) return Errno.ENOMEM;
  const continues = peer.continues(message, successor);
  const nFds = cargo?.files?.count ?? 0;
  if (is2019) {
    const installed = (flags & known.INSTALL_FDS) !== 0;
    writeMessage(argument, message, continues ? Message2019Flag.CONTINUE : 0, installed ? nFds : 0, Recv2019);
  } else {
    writeMessage(argument, message, continues ? MessageFlag.CONTINUE : 0, nFds, Recv);
    writeCredentials(argument, cargo?.sender);
    argument.setU64(Recv.n_secctx, 0);
  }
  return Errno.OK;
}

/** Writes the receiver's ids of the carried handles to the slice. */
function exposeHandles(message: Message, cargo: Cargo, memory: SharedMemory): boolean {
  const count = cargo.handles.length;
  if (count === 0) return true;
  const size = count * ID_SIZE;
  if (size > ids.size) ids = new NativeBuffer(size);
  for (const [i, handle] of cargo.handles.entries()) {
    if (handle.node.isDestroyedBefore(message.sequence)) ids.setAllOnes64(i * ID_SIZE);
    else writeHandleId(ids, i * ID_SIZE, handle.id);
  }
  return memory.write(cargo.slice.offset + sliceLayout(cargo.nBytes, count, 0).handles, ids, size);
}

/** Fills in the message. The two revisions differ in offsets, and the older one alone has credentials. */
function writeMessage(argument: Bytes, message: Message, flags: number, nFds: number, layout: typeof Recv2019): void {
  const { cargo, destination } = message;
  argument.setU64(layout.type, message.type);
  argument.setU64(layout.msg_flags, flags);
  if (destination === undefined) argument.setAllOnes64(layout.destination);
  else writeHandleId(argument, layout.destination, destination.id);
  if (cargo === undefined) argument.setAllOnes64(layout.offset);
  else argument.setU64(layout.offset, cargo.slice.offset);
  argument.setU64(layout.n_bytes, cargo?.nBytes ?? 0);
  argument.setU64(layout.n_handles, cargo?.handles.length ?? 0);
  argument.setU64(layout.n_fds, nFds);
}

function writeCredentials(argument: Bytes, sender: Sender | undefined): void {
  argument.setU32(Recv.uid, sender?.uid ?? NO_ID);
  argument.setU32(Recv.gid, sender?.gid ?? NO_ID);
  argument.setU32(Recv.pid, sender?.pid ?? 0);
  argument.setU32(Recv.tid, sender?.tid ?? 0);
}
