import { Errno } from '../../base/errno.js';
import type { KdbusBus } from './kdbus-bus.js';
import type { KdbusConnection } from './kdbus-connection.js';
import type { Delivered } from './message-queue.js';
import type { ClaimedName, NameChange } from './name-claim.js';
import { nameNotification } from './notification.js';

/** Does what follows from a name's new owner, and has it told. */
export function applyNameChange(bus: KdbusBus, change: NameChange<KdbusConnection>): void {
  const { name, before, after, movesMessages } = change;
  if (movesMessages && before !== undefined && after !== undefined) handOver(name, before.holder, after.holder);
  bus.notify(nameNotification(change));
}

/** What was sent to a name and still is one connection's to handle becomes another's. */
function handOver(name: ClaimedName<KdbusConnection>, from: KdbusConnection, to: KdbusConnection): void {
  for (const message of [...from.queue.values()]) if (message.name === name) move(message, from, to);
  for (const tracker of [...from.owed]) {
    if (tracker.name === name && tracker.waiter !== from && tracker.waiter !== to) tracker.moveTo(to);
  }
}

/** Moves a message, or loses it where there is no room. */
function move(message: Delivered, from: KdbusConnection, to: KdbusConnection): void {
  const { slice: old, user, nFds, files, tracker } = message;
  from.queue.remove(message);
  from.quota.release(user, old.size, nFds);
  const fits = (nFds === 0 || to.acceptsFds) && to.quota.check(user, old.size, nFds) === Errno.OK;
  const slice = fits ? to.slices.reserve(old.size) : undefined;
  const isCopied = slice !== undefined && copy(message, from, to, slice.offset);
  if (slice !== undefined && isCopied) {
    to.quota.charge(user, slice.size, nFds);
    to.enqueue({ ...message, slice });
  } else {
    if (slice !== undefined) to.slices.dequeue(slice);
    files?.release();
    tracker?.dequeued();
    to.countDrop();
  }
  from.slices.dequeue(old);
}

function copy({ slice, head, area }: Delivered, from: KdbusConnection, to: KdbusConnection, offset: number): boolean {
  const { memory } = to.pool;
  if (head === undefined || !memory.write(offset, head)) return false;
  const start = head.length;
  if (area !== undefined) return memory.write(offset + start, area);
  return memory.copy(offset + start, from.pool.memory, slice.offset + start, slice.size - start);
}
