import { Errno } from '../../base/errno.js';
import { PolicyAccessType } from '../kdbus-abi.js';

/** Whoever asks for access, as the daemon's own user namespace has it. */
export interface Subject {
  readonly euid: number;
  readonly egid: number;
  /** Supplementary groups in ascending order, as the kernel keeps them. */
  readonly groups: readonly number[];
}

/** Who gets how much access: SEE, TALK or OWN, each of which includes those before it. */
export interface Access {
  /** One of PolicyAccessType. */
  readonly type: number;
  /** One of PolicyType. */
  readonly level: number;
  /** A uid or gid in the daemon's own user namespace; of no meaning for WORLD. */
  readonly id: number;
}

/** What an upload says about one name. */
export interface PolicyEntry {
  /** The name; of a wildcard what comes before `.*`. */
  readonly name: string;
  readonly isWildcard: boolean;
  /** None grants nothing, and hides a wildcard that would. */
  readonly accesses: readonly Access[];
}

interface OwnedEntry extends PolicyEntry {
  readonly owner: object;
}

/** Less than any level. */
const DENIED = -1;

/** Entries by name, each put in by an owner: a connection or an endpoint. What no entry grants is denied. */
export class PolicyDatabase {
  private readonly names = new Map<string, OwnedEntry>();
  private readonly wildcards = new Map<string, OwnedEntry>();
  private readonly owners = new Map<object, readonly PolicyEntry[]>();

  /** How many entries there are. */
  get size(): number {
    return this.names.size + this.wildcards.size;
  }

  /**
   * Whether `subject` has access to a name at this level, or a higher one. The name's own entry decides; if it has none, that of
   * the wildcard which stands for its last element.
   */
  grants(subject: Subject, name: string, level: number): boolean {
    const entry = this.names.get(name) ?? this.wildcards.get(name.slice(0, Math.max(0, name.lastIndexOf('.'))));
    return entry !== undefined && highest(entry, subject) >= level;
  }

  /** Puts an owner's entries in the place of all it had. EEXIST, and nothing changes, if one is there twice or is somebody else's. */
  replace(owner: object, entries: readonly PolicyEntry[]): Errno {
    const added = new Set<string>();
    for (const { name, isWildcard } of entries) {
      const key = isWildcard ? `${name}.*` : name;
      const existing = this.tableOf(isWildcard).get(name);
      if (added.has(key) || (existing !== undefined && existing.owner !== owner)) return Errno.EEXIST;
      added.add(key);
    }
    this.remove(owner);
    for (const entry of entries) this.tableOf(entry.isWildcard).set(entry.name, { ...entry, owner });
    if (entries.length > 0) this.owners.set(owner, entries);
    return Errno.OK;
  }

  /** Takes out all entries of an owner. */
  remove(owner: object): void {
    for (const { name, isWildcard } of this.owners.get(owner) ?? []) this.tableOf(isWildcard).delete(name);
    this.owners.delete(owner);
  }

  private tableOf(isWildcard: boolean): Map<string, OwnedEntry> {
    return isWildcard ? this.wildcards : this.names;
  }
}

function highest({ accesses }: PolicyEntry, subject: Subject): number {
  let found = DENIED;
  for (const access of accesses) if (access.level > found && concerns(access, subject)) found = access.level;
  return found;
}

function concerns({ type, id }: Access, { euid, egid, groups }: Subject): boolean {
  switch (type) {
    case PolicyAccessType.USER:
      return id === euid;
    case PolicyAccessType.GROUP:
      return id === egid || isAmong(groups, id);
    default:
      return true;
  }
}

/** Looks for an id in ascending ones: there may be as many as 65536. */
function isAmong(ids: readonly number[], id: number): boolean {
  let low = 0;
  let high = ids.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ids[middle] as number) < id) low = middle + 1;
    else high = middle;
  }
  return ids[low] === id;
}
