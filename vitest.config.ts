import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vitest/config';

const isCoverage = process.env['NODE_V8_COVERAGE'] !== undefined;
const SRC = new URL('src/', import.meta.url).href;
const DIST = new URL('dist/', import.meta.url).href;

/** Has tests import what was built, as the daemon does, so that what both cover adds up. */
const built: Plugin = {
  name: 'built',
  enforce: 'pre',
  resolveId(source, importer) {
    const { href } = new URL(source, `file://${importer}`);
    return href.startsWith(SRC) ? { id: fileURLToPath(href.replace(SRC, DIST)), external: true } : undefined;
  },
};

export default defineConfig({
  plugins: isCoverage ? [built] : [],
  test: {
    pool: 'forks',
    globalSetup: 'test/support/temporary.ts',
    setupFiles: isCoverage ? ['test/support/take-coverage.ts'] : [],
    reporters: ['default', './test/support/summary.ts'],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts'],
          setupFiles: 'test/support/properties.ts',
          testTimeout: 20_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'docker',
          include: ['test/docker/**/*.test.ts'],
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
