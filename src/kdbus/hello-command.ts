import { Bytes } from '../base/bytes.js';
import { Errno } from '../base/errno.js';
import { Pool } from '../bus/pool.js';
import type { Viewpoint } from '../device.js';
import { itemOf, textItemOf } from './command-parser.js';
import { idsOf } from './connection-commands.js';
import { publish } from './info-commands.js';
import { BloomParameter, Cmd, CmdHello, HelloFlag, Item, ItemType, USER_MAX_CONN } from './kdbus-abi.js';
import type { KdbusCall } from './kdbus-call.js';
import { attachFlagsAt } from './model/attach-flags.js';
import { disconnect } from './model/disconnect.js';
import type { ConnectionFacts } from './model/facts.js';
import { fakedCredentials, fakedIds } from './model/faked-facts.js';
import { type ConnectionMemory, type ConnectionProfile, KdbusConnection, kindOf } from './model/kdbus-connection.js';
import type { KdbusEndpoint } from './model/kdbus-endpoint.js';
import { applyNameChange } from './model/name-handover.js';
import type { Opener } from './model/opener.js';
import { rolesOf } from './model/policy.js';
import { ACTIVATOR_LIMITS, HOLDER_LIMITS, policyEntries } from './model/policy-upload.js';
import { NO_FACTS, type ProcessFacts } from './model/process-facts.js';
import { isNameOrWildcard } from './model/well-known-name.js';
import { metadataViewpoint, ThreadFacts } from './thread-facts.js';

const PAGE_SIZE = 4096;
const SPECIAL = [HelloFlag.ACTIVATOR, HelloFlag.POLICY_HOLDER, HelloFlag.MONITOR];

/** What HELLO needs of the file that it is made on. */
export interface Newcomer {
  readonly endpoint: KdbusEndpoint;
  readonly opener: Opener;
  /** Gives the pool its memory. */
  createMemory(size: number): ConnectionMemory | Errno;
  onReady(): void;
}

/** HELLO. */
export function hello(newcomer: Newcomer, call: KdbusCall): KdbusConnection | Errno {
  const { endpoint, opener } = newcomer;
  const { bus } = endpoint;
  const { bytes, items } = call.command;
  const flags = bytes.u32(Cmd.flags);
  const poolSize = bytes.u64(CmdHello.pool_size);
  if (poolSize === 0 || poolSize % PAGE_SIZE !== 0) return Errno.EINVAL;
  if (SPECIAL.filter((flag) => (flags & flag) !== 0).length > 1) return Errno.EINVAL;
  const kind = kindOf(flags);
  const name = textItemOf(items, ItemType.NAME);
  if ((name !== undefined) !== (kind === 'activator' || kind === 'policyHolder')) return Errno.EINVAL;
  if (name !== undefined && !isNameOrWildcard(name)) return Errno.EINVAL;
  if (kind === 'monitor' && endpoint.policy !== undefined) return Errno.EOPNOTSUPP;
  const { isOwner, isPrivileged } = rolesOf(opener, bus.profile.owner.uid, endpoint.policy !== undefined);
  if (!isOwner && kind !== 'ordinary') return Errno.EPERM;
  const isFaked = [ItemType.CREDS, ItemType.PIDS, ItemType.SECLABEL].some((type) => itemOf(items, type) !== undefined);
  if (!isOwner && isFaked) return Errno.EPERM;
  const attachSend = attachFlagsAt(bytes, CmdHello.attach_flags_send);
  const attachRecv = attachFlagsAt(bytes, CmdHello.attach_flags_recv);
  if (attachSend === undefined || attachRecv === undefined) return Errno.EINVAL;

  const facts = factsOf(opener.viewpoint, call, isFaked, bus.domain.lastCapability);
  if (typeof facts === 'number') return facts;
  const ids = idsOf(call.caller);
  if (typeof ids === 'number') return ids;
  const { process } = facts;
  const fakedUid = isFaked && typeof process.credentials === 'object' ? process.credentials.uid : undefined;
  const chargedUid = isPrivileged && fakedUid !== undefined ? fakedUid : opener.uid;
  const user = endpoint.user ?? bus.domain.users.get(chargedUid);
  if (user.connections >= USER_MAX_CONN) return Errno.EMFILE;
  const memory = newcomer.createMemory(poolSize);
  if (typeof memory === 'number') return memory;

  const description = textItemOf(items, ItemType.CONN_DESCRIPTION);
  const profile: ConnectionProfile = { flags, attachSend, attachRecv, description, user, isPrivileged, isOwner, facts };
  const pool = new Pool(memory, poolSize);
  const id = bus.domain.nextId();
  const connection = new KdbusConnection(id, endpoint, opener, profile, pool, () => newcomer.onReady());
  const slice = publish(connection, bloomItem(connection));
  if (typeof slice === 'number') {
    memory.release();
    return slice;
  }
  user.connections++;
  bus.connections.set(id, connection);
  endpoint.connections.add(connection);
  if (kind === 'monitor') bus.monitors.add(connection);
  else bus.notify({ type: ItemType.ID_ADD, id, flags });
  const error = takePlace(connection, name, call, ids);
  bus.flush();
  if (error !== Errno.OK) {
    disconnect(connection);
    memory.release();
    return error;
  }
  const [low, high] = [
    new Bytes(bus.uuid.buffer as ArrayBuffer).bigU64(0),
    new Bytes(bus.uuid.buffer as ArrayBuffer).bigU64(8),
  ];
  call.set(CmdHello.bus_flags, bus.profile.flags, id);
  call.set(CmdHello.offset, slice.offset, slice.size, low, high);
  return connection;
}

/** What a special connection has besides: a name, a policy. */
function takePlace(
  connection: KdbusConnection,
  name: string | undefined,
  { command }: KdbusCall,
  ids: Parameters<typeof policyEntries>[2],
): Errno {
  const { bus, kind } = connection;
  if (name === undefined) return Errno.OK;
  if (kind === 'activator') {
    const change = bus.names.activate(connection, name);
    if (typeof change === 'number') return change;
    if (change !== undefined) applyNameChange(bus, change);
  }
  const limits = kind === 'activator' ? ACTIVATOR_LIMITS : HOLDER_LIMITS;
  const entries = policyEntries(command.items, limits, ids);
  return typeof entries === 'number' ? entries : bus.policy.replace(connection, entries);
}

/** The item that every new connection gets. */
function bloomItem({ bus }: KdbusConnection): Uint8Array {
  const bytes = new Bytes(new ArrayBuffer(Item.sizeof + BloomParameter.sizeof));
  bytes.setU64(Item.size, bytes.size);
  bytes.setU64(Item.type, ItemType.BLOOM_PARAMETER);
  bytes.setU64(Item.sizeof + BloomParameter.size, bus.profile.bloomSize);
  bytes.setBigU64(Item.sizeof + BloomParameter.n_hash, bus.profile.bloomHashes);
  return bytes.u8;
}

/** What the caller of HELLO is, or wants to be taken for. */
function factsOf(
  opener: Viewpoint,
  call: KdbusCall,
  isFaked: boolean,
  lastCapability: number,
): ConnectionFacts | Errno {
  const { caller } = call;
  const thread = new ThreadFacts(caller, lastCapability);
  const { standing, root } = thread;
  if (typeof standing === 'number') return standing;
  const own = caller.viewpoint();
  if (typeof own === 'number') return own;
  own.release();
  const viewpoint = metadataViewpoint(opener, own, typeof root === 'string' ? root : undefined);
  if (!isFaked) return { process: thread.capture(), isFaked, viewpoint };
  const process = fakedProcess(call, own);
  return typeof process === 'number' ? process : { process, isFaked, viewpoint };
}

function fakedProcess({ caller, command }: KdbusCall, own: Viewpoint): ProcessFacts | Errno {
  const { items } = command;
  const creds = itemOf(items, ItemType.CREDS);
  const pids = itemOf(items, ItemType.PIDS);
  const label = textItemOf(items, ItemType.SECLABEL);
  const ids = { uid: (id: number) => own.uidOutside(id), gid: (id: number) => own.gidOutside(id) };
  const credentials = creds && fakedCredentials(creds, ids);
  if (typeof credentials === 'number') return credentials;
  const processIds = pids && fakedIds(pids, (number) => caller.findThread(number));
  if (typeof processIds === 'number') return processIds;
  const securityLabel = label === undefined ? undefined : Buffer.from(label);
  return { ...NO_FACTS, credentials, ids: processIds, securityLabel };
}
