import type { BusStatus } from '../bus1/bus1-status.js';

/** What the `status` file in the mount holds, as JSON. */
export interface DaemonStatus {
  readonly version: string;
  /** The supervisor's pid and the device process's. */
  readonly pid: number;
  readonly devicePid: number;
  readonly uptimeSeconds: number;
  /** Resident memory of the device process. */
  readonly memoryBytes: number;
  readonly bus1: BusStatus;
}
