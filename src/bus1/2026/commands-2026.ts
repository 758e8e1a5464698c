import type { Bytes } from '../../base/bytes.js';
import type { Errno } from '../../base/errno.js';
import type { Caller } from '../../device.js';
import { Command } from './abi-2026.js';
import type { Peer } from './model/peer-2026.js';
import { receive } from './receive-2026.js';
import { release } from './release-2026.js';
import { send } from './send-2026.js';
import { transfer } from './transfer-2026.js';

/** Carries out one command. The argument is as large as the command's number says, and stays as it is. */
export type Handler = (peer: Peer, argument: Bytes, caller: Caller) => Errno;

/** What the header of 2026 can say. */
export const COMMANDS: ReadonlyMap<number, Handler> = new Map([
  [Command.TRANSFER, transfer],
  [Command.RELEASE, release],
  [Command.SEND, send],
  [Command.RECV, receive],
]);
