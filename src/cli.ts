import 'reflect-metadata';
import { Command } from 'commander';
import { loadEnvFile } from './config/env-file.js';
import { InvalidConfig, loadConfig } from './config/load-config.js';
import { connect, createDataSource } from './database/data-source.js';
import { migrate } from './database/migrator.js';

const program = new Command('gatehouse').description(
  'Operator commands. They read the same environment as the server.',
);

program
  .command('migrate')
  .description('apply pending migrations to the database of DATABASE_URL, under a lock')
  .action(async () => {
    const config = loadConfig(process.env, { serves: false });
    const dataSource = await connect(createDataSource(config, { queryTimeoutMs: 0 }), (code, waitMs) => {
      console.error(`The database is not there yet (${code}); next try in ${waitMs} ms.`);
    });
    try {
      const applied = await migrate(dataSource);
      for (const name of applied) console.log(`applied ${name}`);
      console.log(applied.length === 0 ? 'Nothing to do: no migration is pending.' : `${applied.length} applied.`);
    } finally {
      await dataSource.destroy();
    }
  });

process.umask(0o077);
loadEnvFile();
program.parseAsync().catch((error: unknown) => {
  const { code, message } = error as Error & { code?: string };
  console.error(error instanceof InvalidConfig ? message : `Failed: ${code ? `${code}: ` : ''}${message}`);
  process.exit(1);
});
