import { Errno } from '../base/errno.js';
import { handOut } from './hand-out.js';
import { Cmd, CmdFree, CmdRecv, RecvFlag, RecvReturnFlag } from './kdbus-abi.js';
import type { KdbusCall } from './kdbus-call.js';
import { failRequest } from './model/disconnect.js';
import type { KdbusConnection } from './model/kdbus-connection.js';
import type { Delivered } from './model/message-queue.js';

/** RECV. */
export function receiveMessage(receiver: KdbusConnection, call: KdbusCall): Errno {
  const { bytes } = call.command;
  const flags = bytes.u32(Cmd.flags);
  const isDrop = (flags & RecvFlag.DROP) !== 0;
  const usesPriority = (flags & RecvFlag.USE_PRIORITY) !== 0;
  if (isDrop && usesPriority) return Errno.EINVAL;
  const limit = BigInt.asIntN(64, bytes.bigU64(CmdRecv.priority));
  const message = usesPriority ? receiver.queue.firstUpTo(limit) : receiver.queue.first;
  if (message === undefined) return tell(receiver, call, undefined, 0, Errno.EAGAIN);
  if (isDrop) {
    drop(receiver, message);
    return tell(receiver, call, undefined, 0, Errno.OK);
  }
  if ((flags & RecvFlag.PEEK) !== 0) {
    receiver.slices.expose(message.slice);
    return tell(receiver, call, message, 0, Errno.OK);
  }
  return handOut(receiver, call.caller, message, (returnFlags) =>
    call.finish(tell(receiver, call, message, returnFlags, Errno.OK)),
  );
}

function drop(receiver: KdbusConnection, message: Delivered): void {
  const { tracker } = message;
  receiver.drop(message);
  if (tracker === undefined) return;
  failRequest(tracker);
  receiver.bus.flush();
}

/** Says where the message is, if there is one, and how many were lost. */
function tell(
  receiver: KdbusConnection,
  call: KdbusCall,
  message: Delivered | undefined,
  returnFlags: number,
  error: Errno,
): Errno {
  const { dropped, poolSize } = receiver;
  receiver.dropped = 0;
  if (dropped > 0) call.returnFlags = RecvReturnFlag.DROPPED_MSGS;
  const { offset, size } = message?.slice ?? { offset: poolSize, size: 0 };
  call.set(CmdRecv.dropped_msgs, dropped, offset, size, returnFlags);
  return error;
}

/** FREE. */
export function freeSlice({ slices, poolSize }: KdbusConnection, { command }: KdbusCall): Errno {
  const offset = command.bytes.u64(CmdFree.offset);
  return offset === poolSize ? Errno.OK : slices.release(offset);
}
