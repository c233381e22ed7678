import 'reflect-metadata';
import { Command, CommanderError } from 'commander';
import { CommandFailed, printable } from './commands/output.js';
import { loadEnvFile } from './config/env-file.js';
import { InvalidConfig, loadConfig } from './config/load-config.js';
import { connect, createDataSource } from './database/data-source.js';
import { migrate } from './database/migrator.js';

const program = new Command('gatehouse')
  .description('Operator commands. They read the same environment as the server.')
  .exitOverride();

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

/** What works beside the modules of the server. `migrate` does without: it comes first, and fails with none of them. */
async function addServiceCommands(): Promise<void> {
  const { inContext } = await import('./command-context.js');
  const { addUserCommands } = await import('./commands/user.commands.js');
  const { addImportCommand } = await import('./commands/import.command.js');
  const { addMailCommands } = await import('./commands/mail.commands.js');
  const { addAuditCommands } = await import('./commands/audit.commands.js');
  const { addClientCommands } = await import('./commands/client.commands.js');
  const { addKeyCommands } = await import('./commands/key.commands.js');
  const { addCanaryCommand } = await import('./commands/canary.command.js');
  addUserCommands(program, inContext);
  addImportCommand(program, inContext);
  addMailCommands(program, inContext);
  addAuditCommands(program, inContext);
  addClientCommands(program, inContext);
  addKeyCommands(program, inContext);
  addCanaryCommand(program);
}

async function main(): Promise<void> {
  if (process.argv[2] !== 'migrate') await addServiceCommands();
  await program.parseAsync();
}

/** Says what went wrong. @returns the exit code: 2 when the command was not written as it should be, otherwise 1. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2; // it has said it already
  const { code, message } = error as Error & { code?: string };
  if (error instanceof CommandFailed) console.error(printable(message));
  else console.error(error instanceof InvalidConfig ? message : `Failed: ${code ? `${code}: ` : ''}${message}`);
  return 1;
}

process.umask(0o077);
// Whoever reads may stop before the end, as `head` does.
process.stdout.on('error', (error: NodeJS.ErrnoException) =>
  process.exit(error.code === 'EPIPE' ? process.exitCode : 1),
);
loadEnvFile();
main().catch((error: unknown) => process.exit(report(error)));
