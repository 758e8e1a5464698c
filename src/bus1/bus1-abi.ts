import type { Bytes } from '../base/bytes.js';
import { struct } from '../base/struct.js';
import type { HandleId } from './model/handle-id.js';

/** Names, numbers and layouts of linux/bus1.h, in both its revisions (the 2019 one has a RECV of its own). */

export const BUS1_FD_MAX = 256;
export const BUS1_VEC_MAX = 1024;

const commandNumber = (nr: number, size: number): number => (0xc000_0000 | (size << 16) | (0x96 << 8) | nr) >>> 0;

export const PeerReset = struct({
  flags: 'u64',
  peer_flags: 'u64',
  max_slices: 'u32',
  max_handles: 'u32',
  max_inflight_bytes: 'u32',
  max_inflight_fds: 'u32',
});
export const HandleTransfer = struct({ flags: 'u64', src_handle: 'u64', dst_fd: 'u64', dst_handle: 'u64' });
export const NodesDestroy = struct({ flags: 'u64', ptr_nodes: 'u64', n_nodes: 'u64' });
export const Send = struct({
  flags: 'u64',
  ptr_destinations: 'u64',
  ptr_errors: 'u64',
  n_destinations: 'u64',
  ptr_vecs: 'u64',
  n_vecs: 'u64',
  ptr_handles: 'u64',
  n_handles: 'u64',
  ptr_fds: 'u64',
  n_fds: 'u64',
});
/** `struct bus1_cmd_recv` with the `struct bus1_msg` in it. */
export const Recv = struct({
  flags: 'u64',
  max_offset: 'u64',
  type: 'u64',
  msg_flags: 'u64',
  destination: 'u64',
  uid: 'u32',
  gid: 'u32',
  pid: 'u32',
  tid: 'u32',
  offset: 'u64',
  n_bytes: 'u64',
  n_handles: 'u64',
  n_fds: 'u64',
  n_secctx: 'u64',
});
/** The same in the 2019 header, which knows no credentials and no security contexts. */
export const Recv2019 = struct({
  flags: 'u64',
  max_offset: 'u64',
  type: 'u64',
  msg_flags: 'u64',
  destination: 'u64',
  offset: 'u64',
  n_bytes: 'u64',
  n_handles: 'u64',
  n_fds: 'u64',
});

const U64_SIZE = 8;

export const Command = {
  PEER_DISCONNECT: commandNumber(0x00, U64_SIZE),
  PEER_QUERY: commandNumber(0x01, PeerReset.sizeof),
  PEER_RESET: commandNumber(0x02, PeerReset.sizeof),
  HANDLE_RELEASE: commandNumber(0x10, U64_SIZE),
  HANDLE_TRANSFER: commandNumber(0x11, HandleTransfer.sizeof),
  NODES_DESTROY: commandNumber(0x20, NodesDestroy.sizeof),
  SLICE_RELEASE: commandNumber(0x30, U64_SIZE),
  SEND: commandNumber(0x40, Send.sizeof),
  RECV: commandNumber(0x50, Recv.sizeof),
  RECV_2019: commandNumber(0x50, Recv2019.sizeof),
} as const;

export const PeerFlag = { WANT_SECCTX: 1 << 0 } as const;
export const ResetFlag = { FLUSH: 1 << 0, FLUSH_SEED: 1 << 1 } as const;
export const DestroyFlag = { RELEASE_HANDLES: 1 << 0 } as const;
export const SendFlag = { CONTINUE: 1 << 0, SEED: 1 << 1 } as const;
export const RecvFlag = { PEEK: 1 << 0, SEED: 1 << 1, INSTALL_FDS: 1 << 2 } as const;
export const Recv2019Flag = { SEED: 1 << 0, INSTALL_FDS: 1 << 1 } as const;
export const MessageFlag = { HAS_SECCTX: 1 << 0, CONTINUE: 1 << 1 } as const;
export const Message2019Flag = { CONTINUE: 1 << 0 } as const;

/** True if a 64-bit flags field has no bit outside `known`. */
export const onlyFlags = (bytes: Bytes, offset: number, known: number): boolean =>
  bytes.high32(offset) === 0 && (bytes.u32(offset) & ~known) === 0;

const HIGH_LIMIT = 0x20_0000; // 2^53 / 2^32

export const readHandleId = (bytes: Bytes, offset: number): HandleId =>
  bytes.high32(offset) < HIGH_LIMIT ? bytes.u64(offset) : bytes.bigU64(offset);

export function writeHandleId(bytes: Bytes, offset: number, id: HandleId): void {
  if (typeof id === 'number') bytes.setU64(offset, id);
  else bytes.setBigU64(offset, id);
}
