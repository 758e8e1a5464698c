import { MakeFlag } from '../kdbus-abi.js';
import { disconnect } from './disconnect.js';
import type { KdbusBus } from './kdbus-bus.js';
import type { KdbusConnection } from './kdbus-connection.js';
import { KdbusUser } from './kdbus-user.js';
import { PolicyDatabase } from './policy-database.js';

/** Who owns a bus or an endpoint in the tree, and who else may use it. */
export interface NodeOwner {
  readonly uid: number;
  readonly gid: number;
  /** MakeFlag bits. */
  readonly access: number;
}

/** Permissions of an endpoint's file. */
export function fileMode({ access }: NodeOwner): number {
  if ((access & MakeFlag.ACCESS_WORLD) !== 0) return 0o666;
  return (access & MakeFlag.ACCESS_GROUP) !== 0 ? 0o660 : 0o600;
}

/** Permissions of a bus's directory. */
export function directoryMode({ access }: NodeOwner): number {
  if ((access & MakeFlag.ACCESS_WORLD) !== 0) return 0o555;
  return (access & MakeFlag.ACCESS_GROUP) !== 0 ? 0o550 : 0o500;
}

/** Where connections to a bus are made: its default endpoint, or a custom one with a policy of its own. */
export class KdbusEndpoint {
  readonly bus: KdbusBus;
  readonly name: string;
  readonly owner: NodeOwner;
  /** Of a custom endpoint. */
  readonly policy: PolicyDatabase | undefined;
  /** Whom the connections of a custom endpoint are charged to. */
  readonly user: KdbusUser | undefined;
  readonly connections = new Set<KdbusConnection>();
  isAlive = true;

  constructor(bus: KdbusBus, name: string, owner: NodeOwner, isCustom: boolean) {
    this.bus = bus;
    this.name = name;
    this.owner = owner;
    this.policy = isCustom ? new PolicyDatabase() : undefined;
    this.user = isCustom ? new KdbusUser() : undefined;
  }

  /** Ends it, and all its connections. */
  shutDown(): void {
    if (!this.isAlive) return;
    this.isAlive = false;
    this.bus.endpoints.delete(this.name);
    for (const connection of [...this.connections]) disconnect(connection);
  }
}
