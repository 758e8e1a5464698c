import { Errno } from '../base/errno.js';
import type { Caller } from '../device.js';
import { itemOf, textItemOf } from './command-parser.js';
import { idsOf } from './connection-commands.js';
import { BloomParameter, BUS_BLOOM_MAX_SIZE, Cmd, ItemType, USER_MAX_BUSES } from './kdbus-abi.js';
import type { KdbusCall } from './kdbus-call.js';
import { attachFlagsAt } from './model/attach-flags.js';
import { KdbusBus } from './model/kdbus-bus.js';
import type { KdbusDomain } from './model/kdbus-domain.js';
import { KdbusEndpoint } from './model/kdbus-endpoint.js';
import { ENDPOINT_LIMITS, policyEntries } from './model/policy-upload.js';
import { ThreadFacts } from './thread-facts.js';

const CONTROL = 'control';

interface Maker {
  readonly facts: ThreadFacts;
  readonly uid: number;
  readonly euid: number;
  readonly egid: number;
}

function makerOf(caller: Caller, { lastCapability }: KdbusDomain): Maker | Errno {
  const facts = new ThreadFacts(caller, lastCapability);
  const { standing } = facts;
  if (typeof standing === 'number') return standing;
  const [uid, euid] = standing.uids as [number, number];
  return { facts, uid, euid, egid: standing.gids[1] as number };
}

/** BUS_MAKE. */
export function makeBus(domain: KdbusDomain, { caller, command }: KdbusCall): KdbusBus | Errno {
  const { bytes, items } = command;
  const bloom = itemOf(items, ItemType.BLOOM_PARAMETER);
  const bloomSize = bloom?.u64(BloomParameter.size) ?? 0;
  const bloomHashes = bloom?.bigU64(BloomParameter.n_hash) ?? 0n;
  if (bloomSize < 8 || bloomSize > BUS_BLOOM_MAX_SIZE || bloomSize % 8 !== 0 || bloomHashes < 1n) return Errno.EINVAL;
  const mask = itemOf(items, ItemType.ATTACH_FLAGS_SEND);
  const creatorFlags = mask === undefined ? 0 : attachFlagsAt(mask, 0);
  if (creatorFlags === undefined) return Errno.EINVAL;
  const maker = makerOf(caller, domain);
  if (typeof maker === 'number') return maker;
  const name = textItemOf(items, ItemType.MAKE_NAME) ?? '';
  if (!name.startsWith(`${maker.euid}-`)) return Errno.EINVAL;
  if (name === CONTROL || domain.buses.has(name)) return Errno.EEXIST;
  const creator = maker.facts.capture();
  const user = domain.users.get(maker.uid);
  if (user.buses >= USER_MAX_BUSES) return Errno.EMFILE;
  user.buses++;
  const flags = bytes.u32(Cmd.flags);
  const owner = { uid: maker.euid, gid: maker.egid, access: flags };
  const profile = { name, flags, owner, bloomSize, bloomHashes, creator, creatorFlags, user };
  const bus = new KdbusBus(domain, domain.nextId(), profile);
  domain.buses.set(name, bus);
  return bus;
}

/** ENDPOINT_MAKE. */
export function makeEndpoint(bus: KdbusBus, { caller, command }: KdbusCall): KdbusEndpoint | Errno {
  const maker = makerOf(caller, bus.domain);
  if (typeof maker === 'number') return maker;
  const name = textItemOf(command.items, ItemType.MAKE_NAME) ?? '';
  if (!name.startsWith(`${maker.euid}-`)) return Errno.EINVAL;
  if (bus.endpoints.has(name)) return Errno.EEXIST;
  const owner = { uid: maker.euid, gid: maker.egid, access: command.bytes.u32(Cmd.flags) };
  const endpoint = new KdbusEndpoint(bus, name, owner, true);
  bus.endpoints.set(name, endpoint);
  return endpoint;
}

/** ENDPOINT_UPDATE. */
export function updateEndpoint(endpoint: KdbusEndpoint, { caller, command }: KdbusCall): Errno {
  const ids = idsOf(caller);
  if (typeof ids === 'number') return ids;
  const entries = policyEntries(command.items, ENDPOINT_LIMITS, ids);
  if (typeof entries === 'number') return entries;
  return endpoint.policy?.replace(endpoint, entries) ?? Errno.OK;
}
