import { Bytes } from '../../base/bytes.js';
import { Errno } from '../../base/errno.js';
import { align8 } from '../../bus/pool.js';
import { ItemType, Msg, MsgFlag, NotifyIdChange, NotifyNameChange } from '../kdbus-abi.js';
import { ItemWriter, writeText } from './item-writer.js';
import type { KdbusConnection } from './kdbus-connection.js';
import { KERNEL } from './kdbus-user.js';
import { type Timestamp, writeTimestamp } from './metadata-codec.js';
import type { Notification } from './notification.js';

const writer = new ItemWriter();

/** A notification as a message, padded to a multiple of eight bytes. */
export function notificationBytes(notification: Notification, timestamp: Timestamp): Uint8Array {
  writeItem(notification);
  writeTimestamp(writer, timestamp);
  const items = writer.take();
  const size = Msg.sizeof + items.length;
  const bytes = new Bytes(new ArrayBuffer(align8(size)));
  bytes.setU64(Msg.size, size);
  if ('destination' in notification) {
    const { cookie } = notification;
    bytes.setU64(Msg.dst_id, notification.destination);
    bytes.setBigU64(Msg.timeout_ns, BigInt(cookie));
  } else {
    bytes.setU64(Msg.flags, MsgFlag.SIGNAL);
    bytes.setAllOnes64(Msg.dst_id);
  }
  bytes.u8.set(items, Msg.sizeof);
  return bytes.u8;
}

function writeItem(notification: Notification): void {
  switch (notification.type) {
    case ItemType.ID_ADD:
    case ItemType.ID_REMOVE:
      return writer.add(notification.type, NotifyIdChange.sizeof, (bytes, offset) => {
        bytes.setU64(offset + NotifyIdChange.id, notification.id);
        bytes.setU64(offset + NotifyIdChange.flags, notification.flags);
      });
    case ItemType.REPLY_TIMEOUT:
    case ItemType.REPLY_DEAD:
      return writer.add(notification.type, 0, () => {});
    default: {
      const { name, before, after } = notification;
      const text = Buffer.from(name);
      writer.add(notification.type, NotifyNameChange.sizeof + text.length + 1, (bytes, offset) => {
        bytes.setU64(offset + NotifyNameChange.old_id, before.id);
        bytes.setU64(offset + NotifyNameChange.old_flags, before.flags);
        bytes.setU64(offset + NotifyNameChange.new_id, after.id);
        bytes.setU64(offset + NotifyNameChange.new_flags, after.flags);
        writeText(bytes, offset + NotifyNameChange.sizeof, text);
      });
    }
  }
}

/** Queues a notification; an errno if there is no room for it. */
export function queueNotification(receiver: KdbusConnection, bytes: Uint8Array): Errno {
  const error = receiver.quota.check(KERNEL, bytes.length, 0);
  if (error !== Errno.OK) return error;
  const { slices, quota } = receiver;
  const slice = slices.reserve(bytes.length);
  if (slice === undefined) return Errno.EXFULL;
  if (!slices.pool.memory.write(slice.offset, bytes)) {
    slices.dequeue(slice);
    return Errno.ENOMEM;
  }
  quota.charge(KERNEL, bytes.length, 0);
  receiver.enqueue({
    slice,
    sender: undefined,
    user: KERNEL,
    nFds: 0,
    priority: 0n,
    files: undefined,
    places: [],
    name: undefined,
    tracker: undefined,
    head: undefined,
    area: undefined,
  });
  return Errno.OK;
}
