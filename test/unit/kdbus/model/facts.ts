import type { MetadataViewpoint } from '../../../../src/kdbus/model/metadata-viewpoint.js';
import type { ProcessFacts } from '../../../../src/kdbus/model/process-facts.js';

/** Namespaces: `host` is the daemon's own, `box` is within it, `inner` within that. */
export const HOST: MetadataViewpoint = {
  pidNamespace: 'host',
  userNamespaces: [{ id: 'host', ownerUid: 0 }],
  root: '/',
  uid: (id) => id,
  gid: (id) => id,
};

/** Users 1000 to 1009 are 0 to 9 here, groups 2000 to 2009. */
export const BOX: MetadataViewpoint = {
  pidNamespace: 'box',
  userNamespaces: [
    { id: 'box', ownerUid: 1000 },
    { id: 'host', ownerUid: 0 },
  ],
  root: '/box',
  uid: (id) => (id >= 1000 && id < 1010 ? id - 1000 : undefined),
  gid: (id) => (id >= 2000 && id < 2010 ? id - 2000 : undefined),
};

export const INNER: MetadataViewpoint = {
  ...BOX,
  pidNamespace: 'inner',
  userNamespaces: [{ id: 'inner', ownerUid: 1001 }, ...BOX.userNamespaces],
};

/** A thread in the box, whose parent is outside of it. */
export const FACTS: ProcessFacts = {
  credentials: { uid: 1000, euid: 1001, suid: 7, fsuid: 1003, gid: 2000, egid: 8, sgid: 2002, fsgid: undefined },
  ids: {
    pid: { namespaces: ['host', 'box'], numbers: [100, 10] },
    tid: { namespaces: ['host', 'box'], numbers: [101, 11] },
    ppid: { namespaces: ['host', 'box'], numbers: [99] },
  },
  groups: [5, 2001],
  threadName: Buffer.from('thread'),
  processName: Buffer.from('program'),
  executable: Buffer.from('/bin/program (deleted)'),
  commandLine: Buffer.from([0xff, 0x20, 0xfe]),
  cgroup: Buffer.from('/'),
  capabilities: {
    last: 40,
    inheritable: 1n,
    permitted: 0x1ff_ffff_fffen,
    effective: 0x123_4567_89abn,
    bounding: ~0n,
    userNamespace: 'box',
    euid: 1001,
  },
  securityLabel: Buffer.from('unconfined'),
  audit: { sessionId: 3, loginUid: 1004 },
};
