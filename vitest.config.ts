import { existsSync } from 'node:fs';
import { defineConfig } from 'vitest/config';
import { findDatabases } from './test/support/databases.js';
import { findMissingTools } from './test/support/integration-tools.js';

const { databases, missing } = await findDatabases();

// Swagger UI in a browser: on a SQLite database, or against the running server that GATEHOUSE_URL names.
const chromium = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
const hasChromium = existsSync(chromium);
const hasServer = Boolean(process.env['GATEHOUSE_URL']) || databases.some(({ name }) => name === 'sqlite');
if (!hasChromium) missing.push(`browser: there is no ${chromium}; CHROMIUM may name another`);
else if (!hasServer) missing.push('browser: it needs SQLite, or a running server in GATEHOUSE_URL');

// The examples of docs/integrate.md, with the programs that they are for. They say nothing about databases: SQLite does.
const hasSqlite = databases.some(({ name }) => name === 'sqlite');
const tools = findMissingTools();
if (hasSqlite) missing.push(...tools.missing);
else missing.push('integrate: it needs SQLite');

// The suite runs once per database; the unit tests and the generated files need none.
const onDatabase = ['test/integration/**/*.test.ts', 'test/e2e/**/*.test.ts'];
const generated = 'test/integration/generated-files.test.ts';

const browser = {
  extends: true as const,
  test: {
    name: 'browser',
    include: ['test/browser/**/*.test.ts'],
    globalSetup: ['test/support/database-server.ts'],
    provide: { database: { kind: 'sqlite' as const }, chromium },
  },
};

const integrate = {
  extends: true as const,
  test: {
    name: 'integrate',
    include: ['test/integrate/**/*.test.ts'],
    exclude: tools.excluded,
    globalSetup: ['test/support/database-server.ts'],
    provide: { database: { kind: 'sqlite' as const } },
  },
};

export default defineConfig({
  // As tsconfig.json has it: Nest and TypeORM read the types that decorators leave behind.
  oxc: { decorator: { legacy: true, emitDecoratorMetadata: true }, assumptions: { setPublicClassFields: true } },
  test: {
    pool: 'forks',
    maxWorkers: 2,
    // A worker keeps its modules from file to file: to load Nest and TypeORM a hundred times took as long as the tests.
    isolate: false,
    // What fails everywhere is not waited for everywhere.
    bail: process.env['CI'] ? 20 : 0,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    setupFiles: ['reflect-metadata'],
    reporters: ['default', ['./test/support/closing-reporter.ts', { missing }], './test/support/watchdog-reporter.ts'],
    projects: [
      { extends: true, test: { name: 'unit', include: ['test/unit/**/*.test.ts'] } },
      { extends: true, test: { name: 'generated', include: [generated] } },
      ...databases.map(({ name, source }) => ({
        extends: true as const,
        test: {
          name,
          include: onDatabase,
          exclude: source.kind === 'sqlite' ? [generated, 'test/integration/database-tls.test.ts'] : [generated],
          globalSetup: ['test/support/database-server.ts'],
          provide: { database: source },
        },
      })),
      ...(hasChromium && hasServer ? [browser] : []),
      ...(hasSqlite ? [integrate] : []),
    ],
  },
});
