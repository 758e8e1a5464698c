import type { Bytes } from '../base/bytes.js';
import { Errno } from '../base/errno.js';
import { align8 } from '../bus/pool.js';
import type { Caller } from '../caller/caller.js';
import { type Credentials, Identity } from '../caller/identity.js';
import { TakenFiles } from '../caller/taken-files.js';
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
} from './bus1-abi.js';
import type { Bus1File } from './bus1-file.js';
import type { Cargo, Message } from './model/message.js';

const ID_SIZE = 8;
const FD_SIZE = 4;
/** Who sends a notification. */
const NOBODY: Credentials = { uid: 0xffff_ffff, gid: 0xffff_ffff, pid: 0, tid: 0 };

/** A RECV, decoded. */
interface ReceiveCall {
  readonly file: Bus1File;
  readonly argument: Bytes;
  readonly is2019: boolean;
  readonly isPeek: boolean;
  readonly installs: boolean;
  readonly message: Message;
}

/** RECV in either revision of the header, which the size of its argument tells. */
export function receive(file: Bus1File, is2019: boolean, argument: Bytes, caller: Caller): Errno {
  const { peer } = file;
  const known = is2019 ? Recv2019Flag : RecvFlag;
  const peekFlag = is2019 ? 0 : RecvFlag.PEEK;
  if (!onlyFlags(argument, Recv.flags, known.SEED | known.INSTALL_FDS | peekFlag)) return Errno.EINVAL;
  const flags = argument.u32(Recv.flags);
  const message = (flags & known.SEED) !== 0 ? peer.seed : peer.nextMessage();
  if (message === undefined) return Errno.EAGAIN;
  const { cargo } = message;
  if (cargo !== undefined && cargo.slice.end > argument.u64(Recv.max_offset)) return Errno.ERANGE;
  const isPeek = (flags & peekFlag) !== 0;
  if (isPeek && !peer.canPeek(message)) return Errno.EDQUOT;

  const installs = (flags & known.INSTALL_FDS) !== 0;
  const call: ReceiveCall = { file, argument, is2019, isPeek, installs, message };
  if (installs && cargo?.files instanceof TakenFiles) {
    return caller.installFiles(cargo.files, (numbers) => deliver(call, numbers));
  }
  return deliver(call, []);
}

/** Hands the message over. From here on only the system's memory can fail. */
function deliver(call: ReceiveCall, fds: readonly number[]): Errno {
  const { file, argument, is2019, isPeek, installs, message } = call;
  const { peer, memory, viewpoint } = file;
  const { cargo, next: successor } = message;
  const nFds = cargo?.files?.count ?? 0;
  if (isPeek) peer.peek(message);
  else peer.take(message);
  if (cargo !== undefined && !exposeContents(message, cargo, fds, memory)) return Errno.ENOMEM;
  const continues = peer.continues(message, successor);
  if (is2019) {
    writeMessage(argument, message, continues ? Message2019Flag.CONTINUE : 0, installs ? nFds : 0, Recv2019);
  } else {
    const nSecctx = cargo?.nSecctx ?? 0;
    const msgFlags = (continues ? MessageFlag.CONTINUE : 0) | (nSecctx > 0 ? MessageFlag.HAS_SECCTX : 0);
    writeMessage(argument, message, msgFlags, nFds, Recv);
    writeCredentials(argument, cargo?.sender instanceof Identity ? cargo.sender.seenFrom(viewpoint) : NOBODY);
    argument.setU64(Recv.n_secctx, nSecctx);
  }
  return Errno.OK;
}

let contents = new NativeBuffer(4096);

/** Writes the receiver's ids of the carried handles, and the numbers of its new descriptors, to the slice. */
function exposeContents(message: Message, cargo: Cargo, fds: readonly number[], memory: SharedMemory): boolean {
  const nHandles = cargo.handles.length;
  const size = nHandles * ID_SIZE + fds.length * FD_SIZE;
  if (size === 0) return true;
  if (size > contents.size) contents = new NativeBuffer(size);
  for (const [i, handle] of cargo.handles.entries()) {
    if (handle.node.isDestroyedBefore(message.sequence)) contents.setAllOnes64(i * ID_SIZE);
    else writeHandleId(contents, i * ID_SIZE, handle.id);
  }
  for (const [i, fd] of fds.entries()) contents.setI32(nHandles * ID_SIZE + i * FD_SIZE, fd);
  return memory.write(cargo.slice.offset + align8(cargo.nBytes), contents.u8.subarray(0, size));
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

function writeCredentials(argument: Bytes, { uid, gid, pid, tid }: Credentials): void {
  argument.setU32(Recv.uid, uid);
  argument.setU32(Recv.gid, gid);
  argument.setU32(Recv.pid, pid);
  argument.setU32(Recv.tid, tid);
}
