import { defineConfig } from 'vitest/config';
import suite from './vitest.config.js';
import { findDatabases } from './test/support/databases.js';

// On a database server where there is one: what production runs on.
const { databases } = await findDatabases();
const database = databases.find(({ source }) => source.kind !== 'sqlite') ?? databases[0];
if (!database) throw new Error('There is no database to measure on.');

/** Measurements that need the machine for themselves, so they are a command of their own: `npm run test:timing`. */
export default defineConfig({
  ...suite,
  test: {
    ...suite.test,
    reporters: [
      'verbose',
      ['./test/support/closing-reporter.ts', { missing: [] }],
      './test/support/watchdog-reporter.ts',
    ],
    projects: [
      {
        extends: true,
        test: {
          name: `timing on ${database.name}`,
          include: ['test/timing/**/*.test.ts'],
          globalSetup: ['test/support/database-server.ts'],
          provide: { database: database.source },
        },
      },
    ],
  },
});
