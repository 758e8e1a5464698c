import { align8 } from '../../bus/pool.js';

const FD_SIZE = 4;
const HANDLE_ID_SIZE = 8;
const LEAST_SIZE = 8;

/** What is in a slice, and where, relative to its start. */
export interface SliceLayout {
  /** Lengths of the payload and the security context in bytes. */
  readonly nBytes: number;
  readonly nSecctx: number;
  /** Where the handle ids start, right after which come the descriptor numbers, and where the security context does. */
  readonly handles: number;
  readonly secctx: number;
  readonly size: number;
}

/** Payload; handle ids and right after them descriptor numbers; security context; each part rounded up to 8, all at least 8. */
export function sliceLayout(nBytes: number, nHandles: number, nFds: number, nSecctx: number): SliceLayout {
  const handles = align8(nBytes);
  const secctx = handles + nHandles * HANDLE_ID_SIZE + align8(nFds * FD_SIZE);
  return { nBytes, nSecctx, handles, secctx, size: Math.max(LEAST_SIZE, secctx + align8(nSecctx)) };
}
