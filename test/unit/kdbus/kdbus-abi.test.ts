import { describe, expect, test } from 'vitest';
import * as abi from '../../../src/kdbus/kdbus-abi.js';

/* The numbers of the contract. Those of linux/kdbus.h are compared with the same by test/e2e/abi.test.ts. */

const COMMANDS = {
  BUS_MAKE: 0x40189500,
  ENDPOINT_MAKE: 0x40189510,
  ENDPOINT_UPDATE: 0x40189511,
  HELLO: 0xc0609580,
  UPDATE: 0x40189581,
  BYEBYE: 0x40189582,
  FREE: 0x40209583,
  CONN_INFO: 0x80389584,
  BUS_CREATOR_INFO: 0x80389585,
  LIST: 0x80289586,
  SEND: 0x40389590,
  RECV: 0x80409591,
  NAME_ACQUIRE: 0x401895a0,
  NAME_RELEASE: 0x401895a1,
  MATCH_ADD: 0x402095b0,
  MATCH_REMOVE: 0x402095b1,
};

const ENUMS: Readonly<Record<string, readonly [object, object]>> = {
  ItemType: [
    abi.ItemType,
    {
      NEGOTIATE: 1,
      PAYLOAD_VEC: 2,
      PAYLOAD_OFF: 3,
      PAYLOAD_MEMFD: 4,
      FDS: 5,
      CANCEL_FD: 6,
      BLOOM_PARAMETER: 7,
      BLOOM_FILTER: 8,
      BLOOM_MASK: 9,
      DST_NAME: 0xa,
      MAKE_NAME: 0xb,
      ATTACH_FLAGS_SEND: 0xc,
      ATTACH_FLAGS_RECV: 0xd,
      ID: 0xe,
      NAME: 0xf,
      DST_ID: 0x10,
      TIMESTAMP: 0x1000,
      CREDS: 0x1001,
      PIDS: 0x1002,
      AUXGROUPS: 0x1003,
      OWNED_NAME: 0x1004,
      TID_COMM: 0x1005,
      PID_COMM: 0x1006,
      EXE: 0x1007,
      CMDLINE: 0x1008,
      CGROUP: 0x1009,
      CAPS: 0x100a,
      SECLABEL: 0x100b,
      AUDIT: 0x100c,
      CONN_DESCRIPTION: 0x100d,
      POLICY_ACCESS: 0x2000,
      NAME_ADD: 0x8000,
      NAME_REMOVE: 0x8001,
      NAME_CHANGE: 0x8002,
      ID_ADD: 0x8003,
      ID_REMOVE: 0x8004,
      REPLY_TIMEOUT: 0x8005,
      REPLY_DEAD: 0x8006,
    },
  ],
  AttachFlag: [
    abi.AttachFlag,
    {
      TIMESTAMP: 1,
      CREDS: 2,
      PIDS: 4,
      AUXGROUPS: 8,
      NAMES: 0x10,
      TID_COMM: 0x20,
      PID_COMM: 0x40,
      EXE: 0x80,
      CMDLINE: 0x100,
      CGROUP: 0x200,
      CAPS: 0x400,
      SECLABEL: 0x800,
      AUDIT: 0x1000,
      CONN_DESCRIPTION: 0x2000,
    },
  ],
  MsgFlag: [abi.MsgFlag, { EXPECT_REPLY: 1, NO_AUTO_START: 2, SIGNAL: 4 }],
  SendFlag: [abi.SendFlag, { SYNC_REPLY: 1 }],
  RecvReturnFlag: [abi.RecvReturnFlag, { INCOMPLETE_FDS: 1, DROPPED_MSGS: 2 }],
  RecvFlag: [abi.RecvFlag, { PEEK: 1, DROP: 2, USE_PRIORITY: 4 }],
  HelloFlag: [abi.HelloFlag, { ACCEPT_FD: 1, ACTIVATOR: 2, POLICY_HOLDER: 4, MONITOR: 8 }],
  ListFlag: [abi.ListFlag, { UNIQUE: 1, NAMES: 2, ACTIVATORS: 4, QUEUED: 8 }],
  MatchFlag: [abi.MatchFlag, { REPLACE: 1 }],
  MakeFlag: [abi.MakeFlag, { ACCESS_GROUP: 1, ACCESS_WORLD: 2 }],
  NameFlag: [
    abi.NameFlag,
    {
      REPLACE_EXISTING: 1,
      ALLOW_REPLACEMENT: 2,
      QUEUE: 4,
      IN_QUEUE: 8,
      ACTIVATOR: 0x10,
      PRIMARY: 0x20,
      ACQUIRED: 0x40,
    },
  ],
  PolicyAccessType: [abi.PolicyAccessType, { USER: 1, GROUP: 2, WORLD: 3 }],
  PolicyType: [abi.PolicyType, { SEE: 0, TALK: 1, OWN: 2 }],
};

/** Sizes, and where fields are. */
const STRUCTURES: Readonly<Record<string, readonly [object, object]>> = {
  kdbus_cmd: [abi.Cmd, { size: 0, flags: 8, return_flags: 16, sizeof: 24 }],
  kdbus_cmd_hello: [
    abi.CmdHello,
    {
      size: 0,
      flags: 8,
      return_flags: 16,
      attach_flags_send: 24,
      attach_flags_recv: 32,
      bus_flags: 40,
      id: 48,
      pool_size: 56,
      offset: 64,
      items_size: 72,
      id128: 80,
      id128_high: 88,
      sizeof: 96,
    },
  ],
  kdbus_cmd_send: [
    abi.CmdSend,
    {
      size: 0,
      flags: 8,
      return_flags: 16,
      msg_address: 24,
      reply: 32,
      reply_msg_size: 40,
      reply_return_flags: 48,
      sizeof: 56,
    },
  ],
  kdbus_cmd_recv: [
    abi.CmdRecv,
    {
      size: 0,
      flags: 8,
      return_flags: 16,
      priority: 24,
      dropped_msgs: 32,
      msg: 40,
      msg_msg_size: 48,
      msg_return_flags: 56,
      sizeof: 64,
    },
  ],
  kdbus_cmd_free: [abi.CmdFree, { size: 0, flags: 8, return_flags: 16, offset: 24, sizeof: 32 }],
  kdbus_cmd_info: [
    abi.CmdInfo,
    { size: 0, flags: 8, return_flags: 16, id: 24, attach_flags: 32, offset: 40, info_size: 48, sizeof: 56 },
  ],
  kdbus_cmd_list: [abi.CmdList, { size: 0, flags: 8, return_flags: 16, offset: 24, list_size: 32, sizeof: 40 }],
  kdbus_cmd_match: [abi.CmdMatch, { size: 0, flags: 8, return_flags: 16, cookie: 24, sizeof: 32 }],
  kdbus_msg: [
    abi.Msg,
    {
      size: 0,
      flags: 8,
      priority: 16,
      dst_id: 24,
      src_id: 32,
      payload_type: 40,
      cookie: 48,
      timeout_ns: 56,
      sizeof: 64,
    },
  ],
  kdbus_info: [abi.Info, { size: 0, id: 8, flags: 16, sizeof: 24 }],
  kdbus_vec: [abi.Vec, { size: 0, address: 8, sizeof: 16 }],
  kdbus_memfd: [abi.Memfd, { start: 0, size: 8, fd: 16, __pad: 20, sizeof: 24 }],
  kdbus_bloom_parameter: [abi.BloomParameter, { size: 0, n_hash: 8, sizeof: 16 }],
  kdbus_bloom_filter: [abi.BloomFilter, { generation: 0, sizeof: 8 }],
  kdbus_creds: [
    abi.Creds,
    { uid: 0, euid: 8, suid: 16, fsuid: 24, gid: 32, egid: 40, sgid: 48, fsgid: 56, sizeof: 64 },
  ],
  kdbus_pids: [abi.Pids, { pid: 0, tid: 8, ppid: 16, sizeof: 24 }],
  kdbus_timestamp: [abi.Timestamp, { seqnum: 0, monotonic_ns: 8, realtime_ns: 16, sizeof: 24 }],
  kdbus_policy_access: [abi.PolicyAccess, { type: 0, access: 8, id: 16, sizeof: 24 }],
  kdbus_notify_id_change: [abi.NotifyIdChange, { id: 0, flags: 8, sizeof: 16 }],
  kdbus_notify_name_change: [abi.NotifyNameChange, { old_id: 0, old_flags: 8, new_id: 16, new_flags: 24, sizeof: 32 }],
  kdbus_msg_info: [abi.MsgInfo, { offset: 0, msg_size: 8, return_flags: 16, sizeof: 24 }],
};

const LIMITS = {
  CMD_MAX_SIZE: 32768,
  MSG_MAX_PAYLOAD_VEC_SIZE: 2097152,
  MSG_MAX_MEMFD_ITEMS: 16,
  CONN_MAX_FDS_PER_USER: 16,
  CONN_MAX_MSGS: 256,
  CONN_MAX_REQUESTS_PENDING: 128,
  SYSNAME_MAX_LEN: 63,
  BUS_BLOOM_MAX_SIZE: 4096,
  USER_MAX_CONN: 1024,
  USER_MAX_BUSES: 16,
};

test('the command numbers are the contract’s', () => {
  expect(abi.KdbusCommand).toEqual(COMMANDS);
});

describe('enumerations', () => {
  test.each(Object.entries(ENUMS))('%s', (_, [ours, theirs]) => {
    expect(ours).toEqual(theirs);
  });

  test('sums and single values', () => {
    expect([abi.ATTACH_ALL, abi.NO_ID, abi.PAYLOAD_DBUS]).toEqual([0x3fff, 0, 0x4442757344427573n]);
  });
});

test.each(Object.entries(STRUCTURES))('struct %s', (_, [ours, theirs]) => {
  expect(ours).toEqual(theirs);
});

test('limits', () => {
  expect(abi).toMatchObject(LIMITS);
});
