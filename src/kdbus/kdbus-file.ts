import type { Bytes } from '../base/bytes.js';
import { Errno } from '../base/errno.js';
import { type Caller, type MappableMemory, type OpenFile, type Pending, Poll } from '../device.js';
import { parse } from './command-parser.js';
import { FORMS } from './forms.js';
import { hello } from './hello-command.js';
import { KdbusCommand } from './kdbus-abi.js';
import { KdbusCall } from './kdbus-call.js';
import { CONNECTION_COMMANDS } from './kdbus-commands.js';
import { makeBus, makeEndpoint, updateEndpoint } from './make-commands.js';
import { disconnect } from './model/disconnect.js';
import type { KdbusBus } from './model/kdbus-bus.js';
import type { ConnectionMemory, KdbusConnection } from './model/kdbus-connection.js';
import type { KdbusDomain } from './model/kdbus-domain.js';
import type { KdbusEndpoint } from './model/kdbus-endpoint.js';
import type { Opener } from './model/opener.js';
import { rolesOf } from './model/policy.js';

/** Memory that is mapped before it has a size. */
export interface UnsizedMemory extends MappableMemory {
  /** Gives it a size; an errno if there is no such memory. */
  grow(size: number): ConnectionMemory | Errno;
  /** It keeps its size. */
  settle(): void;
  /** It is not needed any more. */
  release(): void;
}

/** What an open file has become, for good. */
type Role =
  | { readonly kind: 'none' }
  | { readonly kind: 'busOwner'; readonly bus: KdbusBus }
  | { readonly kind: 'endpointOwner'; readonly endpoint: KdbusEndpoint }
  | { readonly kind: 'connection'; readonly connection: KdbusConnection };

const SETUP: ReadonlySet<number> = new Set([KdbusCommand.BUS_MAKE, KdbusCommand.HELLO, KdbusCommand.ENDPOINT_MAKE]);

/** One open file description of `control`, or of an endpoint. */
export class KdbusFile implements OpenFile {
  readonly writesBack = true;
  readonly memory: UnsizedMemory | undefined;
  onPollChange: (() => void) | undefined;
  private readonly domain: KdbusDomain;
  /** Undefined on `control`. */
  private readonly endpoint: KdbusEndpoint | undefined;
  private readonly opener: Opener;
  private role: Role = { kind: 'none' };

  /** Takes over the opener's viewpoint, and the memory. */
  constructor(
    domain: KdbusDomain,
    endpoint: KdbusEndpoint | undefined,
    opener: Opener,
    memory: UnsizedMemory | undefined,
  ) {
    this.domain = domain;
    this.endpoint = endpoint;
    this.opener = opener;
    this.memory = memory;
  }

  poll(): number {
    const { role } = this;
    if (role.kind !== 'connection' || !role.connection.isAlive) return Poll.ERR | Poll.HUP;
    const writable = Poll.OUT | Poll.WRNORM;
    return role.connection.isReadable ? writable | Poll.IN | Poll.RDNORM : writable;
  }

  release(): void {
    const { role } = this;
    if (role.kind === 'busOwner') role.bus.shutDown();
    else if (role.kind === 'endpointOwner') role.endpoint.shutDown();
    else if (role.kind === 'connection') {
      disconnect(role.connection);
      role.connection.pool.memory.release();
    }
    this.memory?.release();
    this.opener.viewpoint.release();
  }

  ioctl(command: number, _argument: Bytes, caller: Caller): Errno | Pending {
    const form = FORMS.get(command);
    if (form === undefined) return Errno.ENOTTY;
    const gate = this.gate(command);
    if (gate !== Errno.OK) return gate;
    const parsed = parse(caller, caller.argumentAddress, form);
    if (typeof parsed === 'number') return parsed;
    const call = new KdbusCall(caller, parsed);
    if (parsed.error !== Errno.OK) return call.finish(parsed.error);
    if (parsed.isNegotiation && command !== KdbusCommand.SEND) {
      call.keepsReturnFlags = true;
      return call.finish(Errno.OK);
    }
    const result = this.run(command, call);
    return typeof result === 'number' ? call.finish(result) : result;
  }

  /** Whether the command may be given at all, before its argument is looked at. */
  private gate(command: number): Errno {
    const { role, endpoint } = this;
    if (SETUP.has(command)) {
      if (role.kind !== 'none') return Errno.EBADFD;
      if (endpoint?.isAlive === false) return Errno.ESHUTDOWN;
      if ((command === KdbusCommand.BUS_MAKE) !== (endpoint === undefined)) return Errno.EBADFD;
      return command === KdbusCommand.ENDPOINT_MAKE && !this.mayMakeEndpoints() ? Errno.EPERM : Errno.OK;
    }
    if (role.kind === 'endpointOwner') {
      if (!role.endpoint.isAlive) return Errno.ESHUTDOWN;
      return command === KdbusCommand.ENDPOINT_UPDATE ? Errno.OK : Errno.EBADFD;
    }
    if (role.kind !== 'connection') return Errno.EBADFD;
    if (!role.connection.isAlive) return Errno.ECONNRESET;
    const row = CONNECTION_COMMANDS.get(command);
    if (row === undefined) return Errno.EBADFD;
    return row.kinds.includes(role.connection.kind) ? Errno.OK : Errno.EOPNOTSUPP;
  }

  private mayMakeEndpoints(): boolean {
    const { endpoint, opener } = this;
    if (endpoint === undefined || endpoint.policy !== undefined) return false;
    return rolesOf(opener, endpoint.bus.profile.owner.uid, false).isOwner;
  }

  private run(command: number, call: KdbusCall): Errno | Pending {
    const { role, endpoint } = this;
    if (role.kind === 'connection') {
      return CONNECTION_COMMANDS.get(command)?.run(role.connection, call) ?? Errno.EBADFD;
    }
    if (role.kind === 'endpointOwner') return updateEndpoint(role.endpoint, call);
    if (endpoint === undefined) {
      const bus = makeBus(this.domain, call);
      return typeof bus === 'number' ? bus : this.become({ kind: 'busOwner', bus });
    }
    if (command === KdbusCommand.ENDPOINT_MAKE) {
      const made = makeEndpoint(endpoint.bus, call);
      return typeof made === 'number' ? made : this.become({ kind: 'endpointOwner', endpoint: made });
    }
    const connection = hello(this.newcomer(endpoint), call);
    if (typeof connection === 'number') return connection;
    this.memory?.settle();
    return this.become({ kind: 'connection', connection });
  }

  private become(role: Role): Errno {
    this.role = role;
    return Errno.OK;
  }

  private newcomer(endpoint: KdbusEndpoint) {
    return {
      endpoint,
      opener: this.opener,
      createMemory: (size: number) => this.memory?.grow(size) ?? Errno.ENOMEM,
      onReady: () => this.onPollChange?.(),
    };
  }
}
