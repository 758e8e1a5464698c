import type { KdbusDomain } from './model/kdbus-domain.js';

/** One bus as `bus1fs status` shows it. */
export interface KdbusBusStatus {
  readonly name: string;
  readonly uid: number;
  readonly connections: number;
  readonly names: number;
  readonly endpoints: number;
}

/** The state of a domain. */
export interface DomainStatus {
  readonly buses: readonly KdbusBusStatus[];
}

export const domainStatus = ({ buses }: KdbusDomain): DomainStatus => ({
  buses: Array.from(buses.values(), ({ profile, connections, names, endpoints }) => ({
    name: profile.name,
    uid: profile.owner.uid,
    connections: [...connections.values()].length,
    names: names.size,
    endpoints: endpoints.size,
  })),
});
