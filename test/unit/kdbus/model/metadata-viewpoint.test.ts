import { describe, expect, test } from 'vitest';
import { type MetadataViewpoint, seenCapabilities } from '../../../../src/kdbus/model/metadata-viewpoint.js';
import { BOX, HOST, INNER } from './facts.js';

const VIEWPOINTS = { host: HOST, box: BOX, inner: INNER };

describe('capabilities', () => {
  const of = (userNamespace: string, euid: number) => ({
    last: 40,
    inheritable: 1n,
    permitted: 2n,
    effective: 3n,
    bounding: 4n,
    userNamespace,
    euid,
  });
  const sets = (viewpoint: MetadataViewpoint, userNamespace: string, euid: number) => {
    const { inheritable, permitted, effective, bounding } = seenCapabilities(viewpoint, of(userNamespace, euid));
    return [inheritable, permitted, effective, bounding];
  };

  test.each([
    ['host', 'host', 0, 'same'],
    ['box', 'box', 1000, 'same'],
    ['box', 'host', 0, 'same'],
    ['box', 'host', 1000, 'all'],
    ['inner', 'host', 1000, 'all'],
    ['inner', 'host', 1001, 'same'],
    ['inner', 'box', 1001, 'all'],
    ['inner', 'box', 1000, 'same'],
    ['host', 'box', 0, 'none'],
    ['box', 'inner', 0, 'none'],
    ['inner', 'elsewhere', 1001, 'none'],
  ] as const)('seen from %s of %s with euid %i: %s', (viewpoint, namespace, euid, what) => {
    const expected = { same: [1n, 2n, 3n, 4n], all: [0n, -1n, -1n, -1n], none: [0n, 0n, 0n, 0n] }[what];
    expect(sets(VIEWPOINTS[viewpoint], namespace, euid)).toEqual(expected);
  });
});
