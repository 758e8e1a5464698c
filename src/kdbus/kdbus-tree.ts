import { Errno } from '../base/errno.js';
import type { Attributes, Caller, DeviceNode, DirectoryNode, Node, OpenFile } from '../device.js';
import { KdbusFile, type UnsizedMemory } from './kdbus-file.js';
import type { KdbusBus } from './model/kdbus-bus.js';
import type { KdbusDomain } from './model/kdbus-domain.js';
import { directoryMode, fileMode, type KdbusEndpoint } from './model/kdbus-endpoint.js';
import { openerOf } from './model/opener.js';

/** What all files of a domain share. */
export interface TreeContext {
  readonly domain: KdbusDomain;
  /** For a file that this user opens. */
  readonly createMemory: (uid: number) => UnsizedMemory | Errno;
}

/** A regular file to look at, and a handle to a bus to open. */
class KdbusFileNode implements DeviceNode {
  readonly kind = 'device';
  readonly rdev = undefined;
  readonly memorySize = 0;
  readonly isVolatile = false;
  private readonly context: TreeContext;
  private readonly endpoint: KdbusEndpoint | undefined;

  /** Of an endpoint, or `control`. */
  constructor(context: TreeContext, endpoint?: KdbusEndpoint) {
    this.context = context;
    this.endpoint = endpoint;
  }

  attributes(): Attributes {
    if (this.endpoint === undefined) return { mode: 0o666, uid: 0, gid: 0 };
    const { owner } = this.endpoint;
    return { mode: fileMode(owner), uid: owner.uid, gid: owner.gid };
  }

  open(caller: Caller, siblings: ReadonlySet<OpenFile>): OpenFile | Errno {
    const { context, endpoint } = this;
    if (endpoint?.isAlive === false) return Errno.ESHUTDOWN;
    // all opens of one inode map the same memory
    if (endpoint !== undefined && siblings.size > 0) return Errno.EBUSY;
    const standing = caller.standing();
    if (typeof standing === 'number') return standing;
    const viewpoint = caller.viewpoint();
    if (typeof viewpoint === 'number') return viewpoint;
    const memory = endpoint === undefined ? undefined : context.createMemory(caller.uid);
    if (typeof memory === 'number') {
      viewpoint.release();
      return memory;
    }
    return new KdbusFile(context.domain, endpoint, openerOf(standing, viewpoint), memory);
  }
}

/** What a directory lists of itself, as kdbusfs does. The kernel finds its own way up. */
const dots = (directory: DirectoryNode): readonly (readonly [string, Node])[] => [
  ['.', directory],
  ['..', directory],
];

/** A bus's directory. */
class BusDirectory implements DirectoryNode {
  readonly kind = 'directory';
  readonly isVolatile = false;
  private readonly context: TreeContext;
  private readonly bus: KdbusBus;
  private readonly nodes = new WeakMap<KdbusEndpoint, KdbusFileNode>();

  constructor(context: TreeContext, bus: KdbusBus) {
    this.context = context;
    this.bus = bus;
  }

  attributes(): Attributes {
    const { owner } = this.bus.profile;
    return { mode: directoryMode(owner), uid: owner.uid, gid: owner.gid };
  }

  child(name: string): Node | undefined {
    const endpoint = this.bus.endpoints.get(name);
    return endpoint && this.nodeOf(endpoint);
  }

  *children(): Iterable<readonly [string, Node]> {
    yield* dots(this);
    for (const [name, endpoint] of this.bus.endpoints) yield [name, this.nodeOf(endpoint)];
  }

  private nodeOf(endpoint: KdbusEndpoint): KdbusFileNode {
    let node = this.nodes.get(endpoint);
    if (node === undefined) {
      node = new KdbusFileNode(this.context, endpoint);
      this.nodes.set(endpoint, node);
    }
    return node;
  }
}

const CONTROL = 'control';

/** The root of a domain: `control`, a directory for each bus, and `hidden` files that only who knows their name finds. */
export class DomainDirectory implements DirectoryNode {
  readonly kind = 'directory';
  readonly isVolatile = false;
  private readonly context: TreeContext;
  private readonly control: KdbusFileNode;
  private readonly hidden: ReadonlyMap<string, Node>;
  private readonly nodes = new WeakMap<KdbusBus, BusDirectory>();

  constructor(context: TreeContext, hidden: ReadonlyMap<string, Node>) {
    this.context = context;
    this.control = new KdbusFileNode(context);
    this.hidden = hidden;
  }

  attributes(): Attributes {
    return { mode: 0o555, uid: 0, gid: 0 };
  }

  child(name: string): Node | undefined {
    if (name === CONTROL) return this.control;
    const bus = this.context.domain.buses.get(name);
    return bus === undefined ? this.hidden.get(name) : this.nodeOf(bus);
  }

  *children(): Iterable<readonly [string, Node]> {
    yield* dots(this);
    yield [CONTROL, this.control];
    for (const [name, bus] of this.context.domain.buses) yield [name, this.nodeOf(bus)];
  }

  private nodeOf(bus: KdbusBus): BusDirectory {
    let node = this.nodes.get(bus);
    if (node === undefined) {
      node = new BusDirectory(this.context, bus);
      this.nodes.set(bus, node);
    }
    return node;
  }
}
