import type { Bytes } from '../base/bytes.js';
import { Errno } from '../base/errno.js';
import type { Caller } from '../device.js';
import { DestroyFlag, HandleTransfer, NodesDestroy, onlyFlags, readHandleId, writeHandleId } from './bus1-abi.js';
import { Bus1File } from './bus1-file.js';
import type { HandleId } from './model/handle-id.js';

const ID_SIZE = 8;

/** HANDLE_RELEASE. */
export const releaseHandle = ({ peer }: Bus1File, argument: Bytes): Errno =>
  peer.releaseHandle(readHandleId(argument, 0));

/** HANDLE_TRANSFER. */
export function transferHandle(file: Bus1File, argument: Bytes, caller: Caller): Errno {
  if (!onlyFlags(argument, HandleTransfer.flags, 0)) return Errno.EINVAL;
  const receiver = destinationOf(file, argument, caller);
  if (typeof receiver === 'number') return receiver;
  if (!receiver.peer.isConnected) return Errno.ESHUTDOWN;
  const handle = file.peer.transferHandle(readHandleId(argument, HandleTransfer.src_handle), receiver.peer);
  if (typeof handle === 'number') return handle;
  if (handle === 'destroyed') argument.setAllOnes64(HandleTransfer.dst_handle);
  else writeHandleId(argument, HandleTransfer.dst_handle, handle.id);
  return Errno.OK;
}

function destinationOf(file: Bus1File, argument: Bytes, caller: Caller): Bus1File | Errno {
  if (argument.isAllOnes64(HandleTransfer.dst_fd)) return file;
  const destination = caller.openFile(argument.i32(HandleTransfer.dst_fd));
  if (typeof destination === 'number') return destination;
  if (!(destination instanceof Bus1File)) return Errno.EOPNOTSUPP;
  if (destination.isBarred) return Errno.EBUSY;
  return destination.speak2016() ? destination : Errno.EOPNOTSUPP;
}

/** NODES_DESTROY. */
export function destroyNodes({ peer }: Bus1File, argument: Bytes, caller: Caller): Errno {
  if (!onlyFlags(argument, NodesDestroy.flags, DestroyFlag.RELEASE_HANDLES)) return Errno.EINVAL;
  const count = argument.u64(NodesDestroy.n_nodes);
  if (count > peer.user.limits.handles) return Errno.EINVAL;
  const length = count * ID_SIZE;
  const nodes = caller.scratch(length);
  if (caller.read(0, [{ address: argument.u64(NodesDestroy.ptr_nodes), length }]) !== length) return Errno.EFAULT;
  const ids: HandleId[] = [];
  for (let offset = 0; offset < length; offset += ID_SIZE) ids.push(readHandleId(nodes, offset));
  return peer.destroyNodes(ids, (argument.u32(NodesDestroy.flags) & DestroyFlag.RELEASE_HANDLES) !== 0);
}
