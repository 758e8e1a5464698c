import { struct } from '../base/struct.js';

/** Names, numbers and layouts of linux/kdbus.h, as of August 2015. */

const WRITE = 0x4000_0000;
const READ = 0x8000_0000;
const commandNumber = (direction: number, nr: number, size: number): number =>
  (direction | (size << 16) | (0x95 << 8) | nr) >>> 0;

/** What every command begins with. */
export const Cmd = struct({ size: 'u64', flags: 'u64', return_flags: 'u64' });
export const CmdHello = struct({
  size: 'u64',
  flags: 'u64',
  return_flags: 'u64',
  attach_flags_send: 'u64',
  attach_flags_recv: 'u64',
  bus_flags: 'u64',
  id: 'u64',
  pool_size: 'u64',
  offset: 'u64',
  items_size: 'u64',
  id128: 'u64',
  id128_high: 'u64',
});
export const MsgInfo = struct({ offset: 'u64', msg_size: 'u64', return_flags: 'u64' });
/** With the `struct kdbus_msg_info` in it. */
export const CmdSend = struct({
  size: 'u64',
  flags: 'u64',
  return_flags: 'u64',
  msg_address: 'u64',
  reply: 'u64',
  reply_msg_size: 'u64',
  reply_return_flags: 'u64',
});
/** Likewise. */
export const CmdRecv = struct({
  size: 'u64',
  flags: 'u64',
  return_flags: 'u64',
  priority: 'u64',
  dropped_msgs: 'u64',
  msg: 'u64',
  msg_msg_size: 'u64',
  msg_return_flags: 'u64',
});
export const CmdFree = struct({ size: 'u64', flags: 'u64', return_flags: 'u64', offset: 'u64' });
export const CmdInfo = struct({
  size: 'u64',
  flags: 'u64',
  return_flags: 'u64',
  id: 'u64',
  attach_flags: 'u64',
  offset: 'u64',
  info_size: 'u64',
});
export const CmdList = struct({ size: 'u64', flags: 'u64', return_flags: 'u64', offset: 'u64', list_size: 'u64' });
export const CmdMatch = struct({ size: 'u64', flags: 'u64', return_flags: 'u64', cookie: 'u64' });
/** `timeout_ns` is also `cookie_reply`. */
export const Msg = struct({
  size: 'u64',
  flags: 'u64',
  priority: 'u64',
  dst_id: 'u64',
  src_id: 'u64',
  payload_type: 'u64',
  cookie: 'u64',
  timeout_ns: 'u64',
});
export const Info = struct({ size: 'u64', id: 'u64', flags: 'u64' });
/** The header of an item; its payload follows. */
export const Item = struct({ size: 'u64', type: 'u64' });

/** Payloads of items, from their own start. */
export const Vec = struct({ size: 'u64', address: 'u64' });
export const Memfd = struct({ start: 'u64', size: 'u64', fd: 'i32', __pad: 'u32' });
export const BloomParameter = struct({ size: 'u64', n_hash: 'u64' });
export const BloomFilter = struct({ generation: 'u64' });
export const Creds = struct({
  uid: 'u64',
  euid: 'u64',
  suid: 'u64',
  fsuid: 'u64',
  gid: 'u64',
  egid: 'u64',
  sgid: 'u64',
  fsgid: 'u64',
});
export const Pids = struct({ pid: 'u64', tid: 'u64', ppid: 'u64' });
export const Timestamp = struct({ seqnum: 'u64', monotonic_ns: 'u64', realtime_ns: 'u64' });
export const PolicyAccess = struct({ type: 'u64', access: 'u64', id: 'u64' });
export const NotifyIdChange = struct({ id: 'u64', flags: 'u64' });
/** The name follows. */
export const NotifyNameChange = struct({
  old_id: 'u64',
  old_flags: 'u64',
  new_id: 'u64',
  new_flags: 'u64',
});

export const KdbusCommand = {
  BUS_MAKE: commandNumber(WRITE, 0x00, Cmd.sizeof),
  ENDPOINT_MAKE: commandNumber(WRITE, 0x10, Cmd.sizeof),
  ENDPOINT_UPDATE: commandNumber(WRITE, 0x11, Cmd.sizeof),
  HELLO: commandNumber(READ | WRITE, 0x80, CmdHello.sizeof),
  UPDATE: commandNumber(WRITE, 0x81, Cmd.sizeof),
  BYEBYE: commandNumber(WRITE, 0x82, Cmd.sizeof),
  FREE: commandNumber(WRITE, 0x83, CmdFree.sizeof),
  CONN_INFO: commandNumber(READ, 0x84, CmdInfo.sizeof),
  BUS_CREATOR_INFO: commandNumber(READ, 0x85, CmdInfo.sizeof),
  LIST: commandNumber(READ, 0x86, CmdList.sizeof),
  SEND: commandNumber(WRITE, 0x90, CmdSend.sizeof),
  RECV: commandNumber(READ, 0x91, CmdRecv.sizeof),
  NAME_ACQUIRE: commandNumber(WRITE, 0xa0, Cmd.sizeof),
  NAME_RELEASE: commandNumber(WRITE, 0xa1, Cmd.sizeof),
  MATCH_ADD: commandNumber(WRITE, 0xb0, CmdMatch.sizeof),
  MATCH_REMOVE: commandNumber(WRITE, 0xb1, CmdMatch.sizeof),
} as const;

export const ItemType = {
  NEGOTIATE: 0x1,
  PAYLOAD_VEC: 0x2,
  PAYLOAD_OFF: 0x3,
  PAYLOAD_MEMFD: 0x4,
  FDS: 0x5,
  CANCEL_FD: 0x6,
  BLOOM_PARAMETER: 0x7,
  BLOOM_FILTER: 0x8,
  BLOOM_MASK: 0x9,
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
} as const;

export const AttachFlag = {
  TIMESTAMP: 1 << 0,
  CREDS: 1 << 1,
  PIDS: 1 << 2,
  AUXGROUPS: 1 << 3,
  NAMES: 1 << 4,
  TID_COMM: 1 << 5,
  PID_COMM: 1 << 6,
  EXE: 1 << 7,
  CMDLINE: 1 << 8,
  CGROUP: 1 << 9,
  CAPS: 1 << 10,
  SECLABEL: 1 << 11,
  AUDIT: 1 << 12,
  CONN_DESCRIPTION: 1 << 13,
} as const;
/** _KDBUS_ATTACH_ALL. */
export const ATTACH_ALL = (1 << 14) - 1;

export const MsgFlag = { EXPECT_REPLY: 1 << 0, NO_AUTO_START: 1 << 1, SIGNAL: 1 << 2 } as const;
export const SendFlag = { SYNC_REPLY: 1 << 0 } as const;
export const RecvFlag = { PEEK: 1 << 0, DROP: 1 << 1, USE_PRIORITY: 1 << 2 } as const;
export const RecvReturnFlag = { INCOMPLETE_FDS: 1 << 0, DROPPED_MSGS: 1 << 1 } as const;
export const HelloFlag = { ACCEPT_FD: 1 << 0, ACTIVATOR: 1 << 1, POLICY_HOLDER: 1 << 2, MONITOR: 1 << 3 } as const;
export const ListFlag = { UNIQUE: 1 << 0, NAMES: 1 << 1, ACTIVATORS: 1 << 2, QUEUED: 1 << 3 } as const;
export const MatchFlag = { REPLACE: 1 << 0 } as const;
export const MakeFlag = { ACCESS_GROUP: 1 << 0, ACCESS_WORLD: 1 << 1 } as const;
export const NameFlag = {
  REPLACE_EXISTING: 1 << 0,
  ALLOW_REPLACEMENT: 1 << 1,
  QUEUE: 1 << 2,
  IN_QUEUE: 1 << 3,
  ACTIVATOR: 1 << 4,
  PRIMARY: 1 << 5,
  ACQUIRED: 1 << 6,
} as const;
/** KDBUS_POLICY_ACCESS_*. */
export const PolicyAccessType = { USER: 1, GROUP: 2, WORLD: 3 } as const;
/** KDBUS_POLICY_*. */
export const PolicyType = { SEE: 0, TALK: 1, OWN: 2 } as const;

/** The kernel's id as a source, and where a message is addressed by name. */
export const NO_ID = 0;
/** KDBUS_PAYLOAD_DBUS. */
export const PAYLOAD_DBUS = 0x4442_7573_4442_7573n;

/** Limits that no program sees in a header. */
export const CMD_MAX_SIZE = 32768;
export const MSG_MAX_PAYLOAD_VEC_SIZE = 2 * 1024 * 1024;
export const MSG_MAX_MEMFD_ITEMS = 16;
export const CONN_MAX_FDS_PER_USER = 16;
export const CONN_MAX_MSGS = 256;
export const CONN_MAX_REQUESTS_PENDING = 128;
export const SYSNAME_MAX_LEN = 63;
export const BUS_BLOOM_MAX_SIZE = 4096;
export const USER_MAX_CONN = 1024;
export const USER_MAX_BUSES = 16;
