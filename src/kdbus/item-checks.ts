import type { Bytes } from '../base/bytes.js';
import { Errno } from '../base/errno.js';
import {
  BloomParameter,
  Creds,
  Item,
  ItemType,
  Memfd,
  NotifyIdChange,
  NotifyNameChange,
  Pids,
  PolicyAccess,
  SYSNAME_MAX_LEN,
  Vec,
} from './kdbus-abi.js';

/** What an item's payload must be like, whatever command it is for. */
type Check = (payload: Bytes) => Errno;

const passes = (condition: boolean): Errno => (condition ? Errno.OK : Errno.EINVAL);
const exactly =
  (size: number): Check =>
  (payload) =>
    passes(payload.size === size);
const multipleOf =
  (size: number): Check =>
  (payload) =>
    passes(payload.size % size === 0);

const U64_SIZE = 8;
const INT_SIZE = 4;
/** The sizes of an item with a name of one byte, and of the largest one. */
const SYSNAME_MIN = Item.sizeof + 2;
const SYSNAME_MAX = Item.sizeof + SYSNAME_MAX_LEN + 1;
const SYSNAME = /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?$/;

/** One NUL, at the end. */
const isString = (payload: Bytes, start = 0): boolean =>
  payload.size > start && payload.u8.indexOf(0, start) === payload.size - 1;

/** The name of a bus, an endpoint or a connection. */
function sysname(payload: Bytes): Errno {
  const size = Item.sizeof + payload.size;
  if (size < SYSNAME_MIN) return Errno.EINVAL;
  if (size > SYSNAME_MAX) return Errno.ENAMETOOLONG;
  return passes(isString(payload) && SYSNAME.test(payload.text(0, payload.size - 1)));
}

const nameChange: Check = (payload) =>
  passes(
    payload.size === NotifyNameChange.sizeof ||
      (payload.size > NotifyNameChange.sizeof && isString(payload, NotifyNameChange.sizeof)),
  );

const string: Check = (payload) => passes(isString(payload));

const CHECKS: ReadonlyMap<number, Check> = new Map<number, Check>([
  [ItemType.NEGOTIATE, multipleOf(U64_SIZE)],
  [ItemType.PAYLOAD_VEC, (payload) => passes(payload.size === Vec.sizeof && payload.u64(Vec.size) !== 0)],
  [ItemType.PAYLOAD_MEMFD, memfd],
  [ItemType.FDS, multipleOf(INT_SIZE)],
  [ItemType.CANCEL_FD, exactly(INT_SIZE)],
  [ItemType.BLOOM_PARAMETER, exactly(BloomParameter.sizeof)],
  [ItemType.BLOOM_FILTER, (payload) => passes(payload.size >= U64_SIZE)],
  [ItemType.DST_NAME, string],
  [ItemType.MAKE_NAME, sysname],
  [ItemType.ATTACH_FLAGS_SEND, exactly(U64_SIZE)],
  [ItemType.ATTACH_FLAGS_RECV, exactly(U64_SIZE)],
  [ItemType.ID, exactly(U64_SIZE)],
  [ItemType.NAME, string],
  [ItemType.DST_ID, exactly(U64_SIZE)],
  [ItemType.CREDS, exactly(Creds.sizeof)],
  [ItemType.PIDS, exactly(Pids.sizeof)],
  [ItemType.SECLABEL, string],
  [ItemType.CONN_DESCRIPTION, sysname],
  [ItemType.POLICY_ACCESS, exactly(PolicyAccess.sizeof)],
  [ItemType.NAME_ADD, nameChange],
  [ItemType.NAME_REMOVE, nameChange],
  [ItemType.NAME_CHANGE, nameChange],
  [ItemType.ID_ADD, exactly(NotifyIdChange.sizeof)],
  [ItemType.ID_REMOVE, exactly(NotifyIdChange.sizeof)],
]);

function memfd(payload: Bytes): Errno {
  if (payload.size !== Memfd.sizeof || payload.u64(Memfd.size) === 0) return Errno.EINVAL;
  return payload.i32(Memfd.fd) < 0 ? Errno.EBADF : Errno.OK;
}

/** What is wrong with an item's payload. */
export const checkItem = (type: number, payload: Bytes): Errno => CHECKS.get(type)?.(payload) ?? Errno.OK;
