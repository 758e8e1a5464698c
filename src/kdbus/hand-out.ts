import { Bytes } from '../base/bytes.js';
import type { Errno } from '../base/errno.js';
import type { Caller } from '../device.js';
import { RecvReturnFlag } from './kdbus-abi.js';
import type { KdbusConnection } from './model/kdbus-connection.js';
import type { Delivered } from './model/message-queue.js';

const INT_SIZE = 4;
const number = new Bytes(new ArrayBuffer(INT_SIZE));

/**
 * Gives a message to its receiver, with the files it carries: it is in no queue any more, and its slice the user's. `complete`
 * gets RecvReturnFlag bits, and tells of it.
 */
export function handOut(
  receiver: KdbusConnection,
  caller: Caller,
  message: Delivered,
  complete: (flags: number) => Errno,
): Errno {
  const { files, places, slice } = message;
  const take = (numbers: readonly number[]): Errno => {
    for (const [i, fd] of numbers.entries()) {
      number.setI32(0, fd);
      receiver.pool.memory.write(slice.offset + (places[i]?.offset ?? 0), number.u8);
    }
    receiver.unqueue(message);
    receiver.slices.expose(slice);
    receiver.slices.dequeue(slice);
    files?.release();
    return complete(numbers.includes(-1) ? RecvReturnFlag.INCOMPLETE_FDS : 0);
  };
  if (files === undefined || places.length === 0) return take([]);
  return caller.installSome(
    files,
    places.map(({ index }) => index),
    take,
  );
}
