import { defineConfig } from 'vitest/config';
import { findDatabases } from './test/support/databases.js';

const { databases, missing } = await findDatabases();

// The suite runs once per database; the unit tests and the generated files need none.
const onDatabase = ['test/integration/**/*.test.ts', 'test/e2e/**/*.test.ts'];
const generated = 'test/integration/generated-files.test.ts';

export default defineConfig({
  // As tsconfig.json has it: Nest and TypeORM read the types that decorators leave behind.
  oxc: { decorator: { legacy: true, emitDecoratorMetadata: true }, assumptions: { setPublicClassFields: true } },
  test: {
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    setupFiles: ['reflect-metadata'],
    reporters: ['default', ['./test/support/closing-reporter.ts', { missing }]],
    projects: [
      { extends: true, test: { name: 'unit', include: ['test/unit/**/*.test.ts'] } },
      { extends: true, test: { name: 'generated', include: [generated] } },
      ...databases.map(({ name, source }) => ({
        extends: true as const,
        test: {
          name,
          include: onDatabase,
          exclude: [generated],
          globalSetup: ['test/support/database-server.ts'],
          provide: { database: source },
        },
      })),
    ],
  },
});
