/**
 * A handle id, a `u64` in C: a Number where that is exact, else a bigint, so that equal ids are equal Map keys and
 * the common ones (counters, user-space pointers) cost no allocation.
 */
export type HandleId = number | bigint;

/** The bits of an id that tell who assigned it and whether its holder owns the node. */
export const HandleFlag = { MANAGED: 1 << 0, REMOTE: 1 << 1 } as const;

/** True if only the bus assigns ids like this one, so that an unknown one cannot mean a new node. */
export function isAssignedByBus(id: HandleId): boolean {
  const mask = HandleFlag.MANAGED | HandleFlag.REMOTE;
  return (typeof id === 'number' ? (id % 4) & mask : Number(id & 3n) & mask) !== 0;
}

/** The `counter`-th id that the bus assigns on one peer. */
export const assignedId = (counter: number, remote: boolean): HandleId =>
  counter * 8 + (remote ? HandleFlag.MANAGED | HandleFlag.REMOTE : HandleFlag.MANAGED);
