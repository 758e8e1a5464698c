import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';
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

export const servedTree = (config: EngineConfig, clock: Clock, log: Logger): ServedTree =>
  config.type === 'bus1' ? bus1Tree(config, log) : kdbusTree(clock);

function bus1Tree(config: EngineConfig, log: Logger): ServedTree {
  const bus1 = new Bus1Device({
    limits: config.limits,
    attributes: config.device,
    createMemory: (size) => {
      const memory = SharedMemory.create('bus1-pool', size);
      return typeof memory === 'number' ? errnoOf(memory) : memory;
    },
    log,
  });
  return { root: (status) => new Directory({ bus1, status }), status: () => ({ bus1: bus1.status() }) };
}

function kdbusTree(clock: Clock): ServedTree {
  const lastCapability = Number(readFileSync('/proc/sys/kernel/cap_last_cap', 'latin1'));
  const domain = new KdbusDomain(clock, lastCapability);
  const context = { domain, createMemory: () => KdbusMemory.create() };
  return {
    root: (status) => new DomainDirectory(context, new Map([['status', status]])),
    status: () => ({ kdbus: domainStatus(domain) }),
  };
}
