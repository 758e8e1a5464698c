import type { MetadataViewpoint } from './metadata-viewpoint.js';
import type { ProcessFacts } from './process-facts.js';

/** What HELLO finds out of its caller. */
export interface ConnectionFacts {
  /** What the connection is, or pretends to be. */
  readonly process: ProcessFacts;
  readonly isFaked: boolean;
  /** Where it sees others from. */
  readonly viewpoint: MetadataViewpoint;
}
