import type { Errno } from '../base/errno.js';
import type { Pending } from '../device.js';
import { acquireName, addMatch, releaseName, removeMatch, sayByebye, update } from './connection-commands.js';
import { busCreatorInfo, connectionInfo, list } from './info-commands.js';
import { KdbusCommand } from './kdbus-abi.js';
import type { KdbusCall } from './kdbus-call.js';
import { freeSlice, receiveMessage } from './kdbus-receive-command.js';
import { sendMessage } from './kdbus-send-command.js';
import type { ConnectionKind, KdbusConnection } from './model/kdbus-connection.js';

/** A command on a connection, and for which kinds of connections it is. */
interface ConnectionCommand {
  readonly kinds: readonly ConnectionKind[];
  run(connection: KdbusConnection, call: KdbusCall): Errno | Pending;
}

const ORDINARY: readonly ConnectionKind[] = ['ordinary'];
const RECEIVERS: readonly ConnectionKind[] = ['ordinary', 'activator', 'monitor'];
const ALL: readonly ConnectionKind[] = ['ordinary', 'activator', 'policyHolder', 'monitor'];

export const CONNECTION_COMMANDS: ReadonlyMap<number, ConnectionCommand> = new Map([
  [KdbusCommand.UPDATE, { kinds: ALL, run: update }],
  [KdbusCommand.BYEBYE, { kinds: ORDINARY, run: sayByebye }],
  [KdbusCommand.FREE, { kinds: RECEIVERS, run: freeSlice }],
  [KdbusCommand.CONN_INFO, { kinds: ALL, run: connectionInfo }],
  [KdbusCommand.BUS_CREATOR_INFO, { kinds: ALL, run: busCreatorInfo }],
  [KdbusCommand.LIST, { kinds: ALL, run: list }],
  [KdbusCommand.SEND, { kinds: ORDINARY, run: sendMessage }],
  [KdbusCommand.RECV, { kinds: RECEIVERS, run: receiveMessage }],
  [KdbusCommand.NAME_ACQUIRE, { kinds: ORDINARY, run: acquireName }],
  [KdbusCommand.NAME_RELEASE, { kinds: ORDINARY, run: releaseName }],
  [KdbusCommand.MATCH_ADD, { kinds: ORDINARY, run: addMatch }],
  [KdbusCommand.MATCH_REMOVE, { kinds: ORDINARY, run: removeMatch }],
]);
