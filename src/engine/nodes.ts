import { Errno } from '../base/errno.js';
import type { Attributes, Caller, DirectoryNode, Node, TextNode } from '../device.js';

/** A directory of root's with fixed entries. */
export class Directory implements DirectoryNode {
  readonly kind = 'directory';
  readonly isVolatile = false;
  private readonly nodes: ReadonlyMap<string, Node>;

  constructor(nodes: Readonly<Record<string, Node>>) {
    this.nodes = new Map(Object.entries(nodes));
  }

  attributes(): Attributes {
    return { mode: 0o755, uid: 0, gid: 0 };
  }

  child(name: string): Node | undefined {
    return this.nodes.get(name);
  }

  children(): Iterable<readonly [name: string, node: Node]> {
    return this.nodes;
  }
}

/** A text for root alone, and only where it sees the processes that the text is about. */
export class Text implements TextNode {
  readonly kind = 'text';
  readonly isVolatile = false;
  private readonly write: () => string;

  constructor(write: () => string) {
    this.write = write;
  }

  attributes(): Attributes {
    return { mode: 0o400, uid: 0, gid: 0 };
  }

  content(caller: Caller): string | Errno {
    return caller.uid === 0 && caller.isInOurPidNamespace() ? this.write() : Errno.EACCES;
  }
}
