import type { Bytes } from '../../base/bytes.js';
import { Errno } from '../../base/errno.js';
import type { Caller } from '../../device.js';
import { is64, MessageStruct } from './abi-2026.js';

/** A caller's `struct bus1_message`: what it sends, or the room it has for what it receives. */
export interface UserMessage {
  readonly nTransfers: number;
  /** With all its bits, so that it can be written as it was. */
  readonly ptrTransfers: bigint;
  readonly nData: number;
  readonly nVecs: number;
  readonly ptrVecs: number;
}

/** It is read to the start of the scratch memory, up to here; what else a command reads is behind. */
export const MESSAGE_END = 64;

/** Reads the one at `address`. EINVAL if it has flags or not the type that it must have. */
export function readMessage(
  caller: Caller,
  address: number,
  hasItsType: (memory: Bytes) => boolean,
): UserMessage | Errno {
  const memory = caller.scratch(MESSAGE_END);
  if (caller.read(0, [{ address, length: MessageStruct.sizeof }]) !== MessageStruct.sizeof) return Errno.EFAULT;
  if (!is64(memory, MessageStruct.flags, 0) || !hasItsType(memory)) return Errno.EINVAL;
  return {
    nTransfers: memory.u64(MessageStruct.n_transfers),
    ptrTransfers: memory.bigU64(MessageStruct.ptr_transfers),
    nData: memory.u64(MessageStruct.n_data),
    nVecs: memory.u64(MessageStruct.n_data_vecs),
    ptrVecs: memory.u64(MessageStruct.ptr_data_vecs),
  };
}
