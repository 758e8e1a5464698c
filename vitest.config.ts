import { defineConfig } from 'vitest/config';
import { whyNoContainers } from './test/support/containers.js';

export default defineConfig({
  test: {
    pool: 'forks',
    globalSetup: 'test/support/temporary.ts',
    reporters: ['default', './test/support/summary.ts'],
    projects: [
      { extends: true, test: { name: 'unit', include: ['test/unit/**/*.test.ts'] } },
      {
        extends: true,
        test: {
          name: 'docker',
          include: ['test/docker/**/*.test.ts'],
          exclude: whyNoContainers === undefined ? [] : ['**'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        extends: true,
        test: { name: 'e2e', include: ['test/e2e/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 60_000 },
      },
    ],
  },
});
