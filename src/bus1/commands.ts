import type { Bytes } from '../base/bytes.js';
import type { Errno } from '../base/errno.js';
import type { Caller } from '../device.js';
import { Command } from './bus1-abi.js';
import type { Bus1File } from './bus1-file.js';
import { destroyNodes, releaseHandle, transferHandle } from './handle-commands.js';
import { disconnect, query, reset } from './peer-commands.js';
import { receive, releaseSlice } from './receive-command.js';
import { RECV_2016, RECV_2019 } from './recv-codec.js';
import { send } from './send-command.js';

/** Carries out one command. The argument is as large as the command's number says. */
export type Handler = (file: Bus1File, argument: Bytes, caller: Caller) => Errno;

/** What the header of 2016 can say, and that of 2019, which differs in RECV alone. */
export const COMMANDS: ReadonlyMap<number, Handler> = new Map([
  [Command.PEER_DISCONNECT, disconnect],
  [Command.PEER_QUERY, query],
  [Command.PEER_RESET, reset],
  [Command.HANDLE_RELEASE, releaseHandle],
  [Command.HANDLE_TRANSFER, transferHandle],
  [Command.NODES_DESTROY, destroyNodes],
  [Command.SLICE_RELEASE, releaseSlice],
  [Command.SEND, send],
  [Command.RECV, receive(RECV_2016)],
  [Command.RECV_2019, receive(RECV_2019)],
]);
