import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';
import type { Accounts } from '../base/budget.js';
import type { Budgets } from '../bus/quota.js';
import { Bus1Device } from '../bus1/bus1-device.js';
import { errnoOf } from '../caller/thread.js';
import type { Clock, DirectoryNode, Node } from '../device.js';
import { domainStatus } from '../kdbus/kdbus-status.js';
import { DomainDirectory } from '../kdbus/kdbus-tree.js';
import { KdbusDomain } from '../kdbus/model/kdbus-domain.js';
import { SharedMemory } from '../linux/memory.js';
import type { DaemonStatus } from './daemon-status.js';
import type { EngineConfig } from './engine-config.js';
import { KdbusMemory } from './kdbus-memory.js';
import { Directory } from './nodes.js';

/** What a mount shows. */
export interface ServedTree {
  /** Its root, with this file as `status`. */
  root(status: Node): DirectoryNode;
  status(): Pick<DaemonStatus, 'bus1' | 'kdbus'>;
}

/** What there is to be shared out, and what else an engine has. */
export interface EngineMeans {
  readonly totals: Budgets;
  readonly descriptors: Accounts;
  readonly alarms: Clock;
  readonly log: Logger;
}

export const servedTree = (config: EngineConfig, means: EngineMeans): ServedTree =>
  config.type === 'bus1' ? bus1Tree(config, means) : kdbusTree(means);

function bus1Tree(config: EngineConfig, { totals, descriptors, log }: EngineMeans): ServedTree {
  const bus1 = new Bus1Device({
    limits: { ...config.limits, heldBytes: config.limits.heldBytes ?? Math.floor(totals.heldBytes.max / 2) },
    budgets: totals,
    descriptors,
    attributes: config.device,
    createMemory: (size) => {
      const memory = SharedMemory.create('bus1-pool', size);
      return typeof memory === 'number' ? errnoOf(memory) : memory;
    },
    log,
  });
  return { root: (status) => new Directory({ bus1, status }), status: () => ({ bus1: bus1.status() }) };
}

function kdbusTree({ alarms, descriptors }: EngineMeans): ServedTree {
  const lastCapability = Number(readFileSync('/proc/sys/kernel/cap_last_cap', 'latin1'));
  const domain = new KdbusDomain(alarms, lastCapability);
  const context = { domain, createMemory: (uid: number) => KdbusMemory.create(uid, descriptors) };
  return {
    root: (status) => new DomainDirectory(context, new Map([['status', status]])),
    status: () => ({ kdbus: domainStatus(domain) }),
  };
}
