import { Bytes } from '../base/bytes.js';
import { Errno } from '../base/errno.js';
import type { PoolMemory } from '../bus/pool.js';
import type { Caller, Credentials } from '../device.js';
import { onlyFlags, Recv, writeHandleId } from './bus1-abi.js';
import type { Bus1File } from './bus1-file.js';
import type { Cargo, Message } from './model/message.js';
import type { RecvCodec, RecvRequest } from './recv-codec.js';

const ID_SIZE = 8;
const FD_SIZE = 4;
/** Who sends a notification. */
const NOBODY: Credentials = { uid: 0xffff_ffff, gid: 0xffff_ffff, pid: 0, tid: 0 };

/** RECV. */
export const receive =
  (codec: RecvCodec) =>
  (file: Bus1File, argument: Bytes, caller: Caller): Errno => {
    if (!onlyFlags(argument, Recv.flags, codec.flags)) return Errno.EINVAL;
    const { peer } = file;
    const request = codec.request(argument.u32(Recv.flags));
    const message = request.takesSeed ? peer.inbox.seed : peer.inbox.next();
    if (message === undefined) return Errno.EAGAIN;
    const { cargo } = message;
    if (cargo !== undefined && cargo.slice.end > argument.u64(Recv.max_offset)) return Errno.ERANGE;
    if (request.isPeek && !peer.inbox.canPeek(message)) return Errno.EDQUOT;
    if (cargo !== undefined && !hasRoom(cargo, peer.slices.pool.memory)) return Errno.ENOMEM;

    if (!request.installsFds || cargo?.files === undefined) return deliver(file, codec, request, message, argument, []);
    return caller.installFiles(cargo.files, (numbers) => deliver(file, codec, request, message, argument, numbers));
  };

/** Hands the message over. From here on nothing can fail. */
function deliver(
  { peer, viewpoint }: Bus1File,
  codec: RecvCodec,
  request: RecvRequest,
  message: Message,
  argument: Bytes,
  fds: readonly number[],
): Errno {
  const { cargo, next: successor } = message;
  if (request.isPeek) peer.inbox.peek(message);
  else peer.inbox.take(message);
  if (cargo !== undefined && !exposeContents(message, cargo, fds, peer.slices.pool.memory)) return Errno.ENOMEM;
  codec.write(argument, message, {
    request,
    continues: peer.inbox.continues(message, successor),
    credentials: () => cargo?.sender.seenFrom(viewpoint) ?? NOBODY,
  });
  return Errno.OK;
}

let contents = new Bytes(new ArrayBuffer(4096));

/** Whether the system has the pages for ids of handles and numbers of descriptors, which are written when the message is gone. */
function hasRoom({ handles, files, slice, layout }: Cargo, memory: PoolMemory): boolean {
  const size = handles.length * ID_SIZE + (files?.count ?? 0) * FD_SIZE;
  return size === 0 || memory.write(slice.offset + layout.handles, new Uint8Array(size));
}

/** Writes the receiver's ids of the carried handles, and the numbers of its new descriptors, to the slice. */
function exposeContents(message: Message, cargo: Cargo, fds: readonly number[], memory: PoolMemory): boolean {
  const nHandles = cargo.handles.length;
  const size = nHandles * ID_SIZE + fds.length * FD_SIZE;
  if (size === 0) return true;
  if (size > contents.size) contents = new Bytes(new ArrayBuffer(size));
  for (const [i, handle] of cargo.handles.entries()) {
    if (handle.node.isDestroyedBefore(message.sequence)) contents.setAllOnes64(i * ID_SIZE);
    else writeHandleId(contents, i * ID_SIZE, handle.id);
  }
  for (const [i, fd] of fds.entries()) contents.setI32(nHandles * ID_SIZE + i * FD_SIZE, fd);
  return memory.write(cargo.slice.offset + cargo.layout.handles, contents.u8.subarray(0, size));
}

/** SLICE_RELEASE. */
export const releaseSlice = ({ peer }: Bus1File, argument: Bytes): Errno => peer.slices.release(argument.u64(0));
