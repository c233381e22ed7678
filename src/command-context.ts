import { NestFactory } from '@nestjs/core';
import { pino } from 'pino';
import { DataSource, QueryFailedError } from 'typeorm';
import { CommandModule } from './app.module.js';
import type { InContext } from './commands/operator.js';
import { CommandFailed } from './commands/output.js';
import { createLogger, NestLogger } from './common/logger.js';
import { loadConfig } from './config/load-config.js';
import { pendingMigrations } from './database/migrator.js';
import { SigningKeys } from './tokens/signing-keys.js';

/** What the modules have to say to an operator: warnings, on standard error. */
class CommandLogger extends NestLogger {
  constructor() {
    super(createLogger({ level: 'warn', isPretty: false, destination: pino.destination({ dest: 2, sync: true }) }));
  }

  override error(message: unknown, ...rest: unknown[]): void {
    // Nest tells of an error at start and throws it as well; the command says it, in words.
    if (rest.at(-1) !== 'ExceptionHandler') super.error(message, ...rest);
  }
}

/**
 * Runs `work` beside the modules of the server, with its environment, and closes them.
 *
 * @throws InvalidConfig; CommandFailed for a schema that is not up to date and a statement that the database refuses.
 */
export const inContext: InContext = async (work, { takesLostKeys } = { takesLostKeys: false }) => {
  const config = loadConfig(process.env);
  const logger = new CommandLogger();
  const app = await NestFactory.createApplicationContext(CommandModule.with(config), { logger, abortOnError: false });
  try {
    if ((await pendingMigrations(app.get(DataSource))).length > 0) {
      throw new CommandFailed('A migration is pending: run migrate first.');
    }
    if (!takesLostKeys) await app.get(SigningKeys, { strict: false }).refuseOtherMasterKey();
    return await work(app);
  } catch (error) {
    if (!(error instanceof QueryFailedError)) throw error;
    // The driver's message quotes values.
    const { code = 'no code' } = error.driverError as { code?: string };
    throw new CommandFailed(`The database refused a statement (${code}).`);
  } finally {
    await app.close();
  }
};
