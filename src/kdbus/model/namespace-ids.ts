/** The ids of a caller's user namespace, translated to those of the daemon's own; undefined where they are not mapped. */
export interface NamespaceIds {
  uid(id: number): number | undefined;
  gid(id: number): number | undefined;
}

/** (uid_t) -1: nobody in any namespace. Greater ids do not fit. */
export const NO_ID = 0xffff_ffff;
