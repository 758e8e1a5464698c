import { takeCoverage } from 'node:v8';
import { afterAll } from 'vitest';

// Vitest ends its workers before Node would write what they have covered.
afterAll(() => takeCoverage());
