import type { Bytes } from '../../base/bytes.js';
import { struct } from '../../base/struct.js';

/** Names, numbers and layouts of linux/bus1-2026.h. */

const commandNumber = (nr: number, size: number): number => (0xc000_0000 | (size << 16) | (0x97 << 8) | nr) >>> 0;

/** `struct bus1_transfer`. */
export const TransferEntry = struct({ flags: 'u64', id: 'u64' });
/** `struct bus1_metadata`. */
export const Metadata = struct({ flags: 'u64', id: 'u64', account: 'u64' });
/** `struct bus1_message`. */
export const MessageStruct = struct({
  flags: 'u64',
  type: 'u64',
  n_transfers: 'u64',
  ptr_transfers: 'u64',
  n_data: 'u64',
  n_data_vecs: 'u64',
  ptr_data_vecs: 'u64',
});
export const Transfer = struct({ flags: 'u64', to: 'u64', n_transfers: 'u64', ptr_src: 'u64', ptr_dst: 'u64' });
export const Release = struct({ flags: 'u64', n_ids: 'u64', ptr_ids: 'u64' });
export const Send = struct({
  flags: 'u64',
  n_destinations: 'u64',
  ptr_destinations: 'u64',
  ptr_errors: 'u64',
  ptr_message: 'u64',
});
export const Recv = struct({ flags: 'u64', ptr_metadata: 'u64', ptr_message: 'u64' });

export const Command = {
  TRANSFER: commandNumber(0x00, Transfer.sizeof),
  RELEASE: commandNumber(0x01, Release.sizeof),
  SEND: commandNumber(0x02, Send.sizeof),
  RECV: commandNumber(0x03, Recv.sizeof),
} as const;

export const TransferFlag = { CREATE: 1 << 0 } as const;

/** True if a 64-bit field has just this value, which is below 2^32. */
export const is64 = (bytes: Bytes, offset: number, value: number): boolean =>
  bytes.high32(offset) === 0 && bytes.u32(offset) === value;
