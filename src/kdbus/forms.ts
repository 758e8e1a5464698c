import type { CommandForm, Occurrence } from './command-parser.js';
import {
  Cmd,
  CmdFree,
  CmdHello,
  CmdInfo,
  CmdList,
  CmdMatch,
  CmdRecv,
  CmdSend,
  HelloFlag,
  ItemType,
  KdbusCommand,
  ListFlag,
  MakeFlag,
  MatchFlag,
  Msg,
  MsgFlag,
  NameFlag,
  RecvFlag,
  SendFlag,
} from './kdbus-abi.js';

/** All bits of a set of flags. */
const all = (flags: Readonly<Record<string, number>>): number =>
  Object.values(flags).reduce((sum, flag) => sum | flag, 0);

function form(
  headerSize: number,
  flags: number,
  items: Partial<Record<keyof typeof ItemType, Occurrence>> = {},
): CommandForm {
  const byType = Object.entries(items).map(
    ([name, occurrence]) => [ItemType[name as keyof typeof ItemType], occurrence] as const,
  );
  return { headerSize, flags, items: new Map(byType) };
}

const POLICY = { NAME: 'many', POLICY_ACCESS: 'many' } as const;
const NAME_REQUEST = NameFlag.REPLACE_EXISTING | NameFlag.ALLOW_REPLACEMENT | NameFlag.QUEUE;

/** What each command is made of, by its number. */
export const FORMS: ReadonlyMap<number, CommandForm> = new Map([
  [
    KdbusCommand.BUS_MAKE,
    form(Cmd.sizeof, all(MakeFlag), { MAKE_NAME: 'one', BLOOM_PARAMETER: 'one', ATTACH_FLAGS_SEND: 'optional' }),
  ],
  [KdbusCommand.ENDPOINT_MAKE, form(Cmd.sizeof, all(MakeFlag), { MAKE_NAME: 'one' })],
  [KdbusCommand.ENDPOINT_UPDATE, form(Cmd.sizeof, 0, POLICY)],
  [
    KdbusCommand.HELLO,
    form(CmdHello.sizeof, all(HelloFlag), {
      NAME: 'optional',
      CREDS: 'optional',
      PIDS: 'optional',
      SECLABEL: 'optional',
      CONN_DESCRIPTION: 'optional',
      POLICY_ACCESS: 'many',
    }),
  ],
  [
    KdbusCommand.UPDATE,
    form(Cmd.sizeof, 0, { ATTACH_FLAGS_SEND: 'optional', ATTACH_FLAGS_RECV: 'optional', ...POLICY }),
  ],
  [KdbusCommand.BYEBYE, form(Cmd.sizeof, 0)],
  [KdbusCommand.FREE, form(CmdFree.sizeof, 0)],
  [KdbusCommand.CONN_INFO, form(CmdInfo.sizeof, 0, { NAME: 'optional' })],
  [KdbusCommand.BUS_CREATOR_INFO, form(CmdInfo.sizeof, 0)],
  [KdbusCommand.LIST, form(CmdList.sizeof, all(ListFlag))],
  [KdbusCommand.SEND, form(CmdSend.sizeof, all(SendFlag), { CANCEL_FD: 'optional' })],
  [KdbusCommand.RECV, form(CmdRecv.sizeof, all(RecvFlag))],
  [KdbusCommand.NAME_ACQUIRE, form(Cmd.sizeof, NAME_REQUEST, { NAME: 'one' })],
  [KdbusCommand.NAME_RELEASE, form(Cmd.sizeof, 0, { NAME: 'one' })],
  [
    KdbusCommand.MATCH_ADD,
    form(CmdMatch.sizeof, all(MatchFlag), {
      BLOOM_MASK: 'many',
      NAME: 'many',
      ID: 'many',
      DST_ID: 'many',
      NAME_ADD: 'many',
      NAME_REMOVE: 'many',
      NAME_CHANGE: 'many',
      ID_ADD: 'many',
      ID_REMOVE: 'many',
    }),
  ],
  [KdbusCommand.MATCH_REMOVE, form(CmdMatch.sizeof, 0)],
]);

export const MESSAGE_FORM = form(Msg.sizeof, all(MsgFlag), {
  PAYLOAD_VEC: 'many',
  PAYLOAD_MEMFD: 'many',
  FDS: 'optional',
  BLOOM_FILTER: 'optional',
  DST_NAME: 'optional',
});
