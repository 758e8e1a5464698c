import { Errno } from '../../base/errno.js';
import { ItemType } from '../kdbus-abi.js';
import type { KdbusConnection } from './kdbus-connection.js';
import { applyNameChange } from './name-handover.js';
import type { Tracker } from './tracker.js';

/** Nobody will reply to a request any more. */
export function failRequest(tracker: Tracker): void {
  if (!tracker.isLive) return;
  if (tracker.isSync) return tracker.settle(Errno.EPIPE);
  tracker.end();
  const { waiter, cookie } = tracker;
  waiter.bus.notify({ type: ItemType.REPLY_DEAD, destination: waiter.id, cookie });
}

/** A connection ends: names go first, then what it owes, then everybody hears that it is gone. */
export function disconnect(connection: KdbusConnection): void {
  if (!connection.isAlive) return;
  const { bus, endpoint, profile } = connection;
  connection.die();
  for (const tracker of [...connection.awaited]) {
    tracker.end();
    tracker.wait?.answered(Errno.ECONNRESET);
  }
  for (const tracker of [...connection.interrupted]) tracker.discard();
  bus.policy.remove(connection);
  bus.connections.delete(connection.id);
  bus.monitors.delete(connection);
  endpoint.connections.delete(connection);
  for (const change of bus.names.releaseAll(connection)) applyNameChange(bus, change);
  bus.flush();
  for (const message of [...connection.queue.values()]) {
    const { tracker } = message;
    connection.drop(message);
    if (tracker !== undefined && tracker.replier === connection) failRequest(tracker);
  }
  for (const tracker of [...connection.owed]) failRequest(tracker);
  connection.matches.clear();
  if (!connection.isMonitor) {
    bus.notify({ type: ItemType.ID_REMOVE, id: connection.id, flags: profile.flags });
  }
  bus.flush();
  profile.user.connections--;
  bus.domain.users.forget(profile.user);
}
