import type { Bytes } from '../base/bytes.js';
import { Errno } from '../base/errno.js';
import type { Pool } from '../bus/pool.js';
import type { Caller } from '../caller/caller.js';
import type { Viewpoint } from '../caller/identity.js';
import { type OpenFile, Poll } from '../device.js';
import type { SharedMemory } from '../linux/memory.js';
import {
  Command,
  DestroyFlag,
  HandleTransfer,
  NodesDestroy,
  onlyFlags,
  PeerFlag,
  PeerReset,
  ResetFlag,
  readHandleId,
  writeHandleId,
} from './bus1-abi.js';
import { type Counters, type PeerStatus, peerStatus } from './bus1-status.js';
import type { Bus } from './model/bus.js';
import type { HandleId } from './model/handle-id.js';
import type { Peer } from './model/peer.js';
import { receive } from './receive-command.js';
import { send } from './send-command.js';

const INT_MAX = 0x7fff_ffff;
const LEAVE = 0xffff_ffff;

/** Who opened the file. */
export interface Opener {
  readonly uid: number;
  readonly pid: number;
  readonly command: string;
  readonly viewpoint: Viewpoint;
}

/** One open bus1 file description: the ioctls, as bytes, on top of a peer. */
export class Bus1File implements OpenFile {
  onPollChange: (() => void) | undefined;
  readonly peer: Peer;
  readonly pool: Pool<SharedMemory>;
  private readonly bus: Bus;
  private readonly opener: Opener;
  private readonly counters: Counters;
  private readonly onRelease: () => void;

  /** Takes over one reference to the memory of the pool. */
  constructor(bus: Bus, pool: Pool<SharedMemory>, opener: Opener, counters: Counters, onRelease: () => void) {
    this.bus = bus;
    this.pool = pool;
    this.opener = opener;
    this.counters = counters;
    this.onRelease = onRelease;
    this.peer = bus.addPeer(opener.uid, pool, () => this.onPollChange?.());
  }

  get memory(): SharedMemory {
    return this.pool.memory;
  }

  get uid(): number {
    return this.opener.uid;
  }

  /** The namespaces that others are seen from here. */
  get viewpoint(): Viewpoint {
    return this.opener.viewpoint;
  }

  status(): PeerStatus {
    return peerStatus(this.peer, this.opener);
  }

  poll(): number {
    if (!this.peer.isConnected) return Poll.HUP;
    const writable = Poll.OUT | Poll.WRNORM;
    return this.peer.isReadable ? writable | Poll.IN | Poll.RDNORM : writable;
  }

  release(): void {
    this.bus.removePeer(this.peer);
    this.memory.release();
    this.viewpoint.release();
    this.onRelease();
  }

  ioctl(command: number, argument: Bytes, caller: Caller): Errno {
    const error = this.dispatch(command, argument, caller);
    this.counters.ioctls++;
    if (error !== Errno.OK) this.counters.failed++;
    return error;
  }

  private dispatch(command: number, argument: Bytes, caller: Caller): Errno {
    if (!this.peer.isConnected) return Errno.ESHUTDOWN;
    switch (command) {
      case Command.SEND:
        return send(this.peer, argument, caller);
      case Command.RECV:
      case Command.RECV_2019:
        return receive(this, command === Command.RECV_2019, argument, caller);
      case Command.SLICE_RELEASE:
        return this.peer.releaseSlice(argument.u64(0));
      case Command.HANDLE_RELEASE:
        return this.peer.releaseHandle(readHandleId(argument, 0));
      case Command.HANDLE_TRANSFER:
        return this.transfer(argument, caller);
      case Command.NODES_DESTROY:
        return this.destroy(argument, caller);
      case Command.PEER_QUERY:
        return this.query(argument);
      case Command.PEER_RESET:
        return this.reset(argument);
      case Command.PEER_DISCONNECT:
        return this.disconnect(argument);
      default:
        return Errno.ENOTTY;
    }
  }

  private disconnect(argument: Bytes): Errno {
    if (argument.u64(0) !== 0) return Errno.EINVAL;
    this.peer.disconnect();
    return Errno.OK;
  }

  private query(argument: Bytes): Errno {
    if (!onlyFlags(argument, PeerReset.flags, 0)) return Errno.EINVAL;
    const { quotas } = this.peer;
    argument.setU64(PeerReset.peer_flags, this.peer.wantsSecctx ? PeerFlag.WANT_SECCTX : 0);
    argument.setU32(PeerReset.max_slices, quotas.slices.max);
    argument.setU32(PeerReset.max_handles, quotas.handles.max);
    argument.setU32(PeerReset.max_inflight_bytes, quotas.inflightBytes.max);
    argument.setU32(PeerReset.max_inflight_fds, quotas.inflightFds.max);
    return Errno.OK;
  }

  private reset(argument: Bytes): Errno {
    if (!onlyFlags(argument, PeerReset.flags, ResetFlag.FLUSH | ResetFlag.FLUSH_SEED)) return Errno.EINVAL;
    const keepFlags = argument.isAllOnes64(PeerReset.peer_flags);
    if (!keepFlags && !onlyFlags(argument, PeerReset.peer_flags, PeerFlag.WANT_SECCTX)) return Errno.EINVAL;
    const limits = LIMIT_FIELDS.map((offset) => argument.u32(offset));
    if (limits.some((limit) => limit > INT_MAX && limit !== LEAVE)) return Errno.EINVAL;

    const flags = argument.u32(PeerReset.flags);
    const flushSeed = (flags & ResetFlag.FLUSH_SEED) !== 0;
    if (!keepFlags) this.peer.wantsSecctx = (argument.u32(PeerReset.peer_flags) & PeerFlag.WANT_SECCTX) !== 0;
    const { slices, handles, inflightBytes, inflightFds } = this.peer.quotas;
    for (const [i, quota] of [slices, handles, inflightBytes, inflightFds].entries()) {
      const limit = limits[i] ?? LEAVE;
      if (limit !== LEAVE) quota.max = limit;
    }
    if ((flags & ResetFlag.FLUSH) !== 0) this.peer.flush(!flushSeed);
    else if (flushSeed) this.peer.setSeed(undefined);
    return Errno.OK;
  }

  private transfer(argument: Bytes, caller: Caller): Errno {
    if (!onlyFlags(argument, HandleTransfer.flags, 0)) return Errno.EINVAL;
    let receiver = this.peer;
    if (!argument.isAllOnes64(HandleTransfer.dst_fd)) {
      const file = caller.openFile(argument.i32(HandleTransfer.dst_fd));
      if (typeof file === 'number') return file;
      if (!(file instanceof Bus1File)) return Errno.EOPNOTSUPP;
      receiver = file.peer;
    }
    if (!receiver.isConnected) return Errno.ESHUTDOWN;
    const handle = this.peer.transferHandle(readHandleId(argument, HandleTransfer.src_handle), receiver);
    if (typeof handle === 'number') return handle;
    if (handle === 'destroyed') argument.setAllOnes64(HandleTransfer.dst_handle);
    else writeHandleId(argument, HandleTransfer.dst_handle, handle.id);
    return Errno.OK;
  }

  private destroy(argument: Bytes, caller: Caller): Errno {
    if (!onlyFlags(argument, NodesDestroy.flags, DestroyFlag.RELEASE_HANDLES)) return Errno.EINVAL;
    const count = argument.u64(NodesDestroy.n_nodes);
    if (count > this.peer.user.limits.handles) return Errno.EINVAL;
    const size = count * 8;
    const nodes = caller.reserve(size);
    if (caller.read(0, argument.u64(NodesDestroy.ptr_nodes), size) !== size) return Errno.EFAULT;
    const ids: HandleId[] = [];
    for (let offset = 0; offset < size; offset += 8) ids.push(readHandleId(nodes, offset));
    const releaseHandles = (argument.u32(NodesDestroy.flags) & DestroyFlag.RELEASE_HANDLES) !== 0;
    return this.peer.destroyNodes(ids, releaseHandles);
  }
}

const LIMIT_FIELDS = [
  PeerReset.max_slices,
  PeerReset.max_handles,
  PeerReset.max_inflight_bytes,
  PeerReset.max_inflight_fds,
] as const;
