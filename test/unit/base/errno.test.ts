import { expect, test } from 'vitest';
import { errnoName } from '../../../src/base/errno.js';

test.each([
  [1, 'EPERM'],
  [-1, 'EPERM'],
  [11, 'EAGAIN'],
  [54, 'EXFULL'],
  [95, 'EOPNOTSUPP'],
  [122, 'EDQUOT'],
  [4000, 'errno 4000'],
])('errnoName of %i is %s', (error, name) => {
  expect(errnoName(error)).toBe(name);
});
