import 'reflect-metadata';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { createApp } from './app.setup.js';
import { createLogger } from './common/logger.js';
import { InvalidConfig, loadConfig } from './config/load-config.js';
import { loadEnvFile } from './config/env-file.js';
import { DatabaseRefuses } from './database/data-source.js';

/** Accepted requests may take this long to finish before the process ends anyway. */
const DRAIN_TIMEOUT_MS = 20_000;

/** What an operator has chosen with EMAIL_VERIFICATION, in words. */
const MEANING = {
  none: 'Accounts can be used at once, and sign-up tells by 409 who has an account.',
  required: 'Accounts wait for the confirmation of their address, and sign-up tells nobody who has an account.',
};

async function main(): Promise<void> {
  process.umask(0o077); // the files that we make (development's database and key) are their owner's
  loadEnvFile();
  const config = loadConfig(process.env);
  const logger = createLogger({ level: config.logLevel, isPretty: config.nodeEnv === 'development' });

  // Started but not understood: say so, and let the supervisor start a process whose state is known.
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error) => {
      logger.fatal({ event: 'sys_crash', reason: event, err: error });
      process.exit(1);
    });
  }

  let app: NestFastifyApplication | undefined = undefined; // a signal may come before there is one
  let isStopping = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (isStopping) process.exit(1); // asked twice
      isStopping = true;
      logger.info({ event: 'stopping', signal });
      setTimeout(() => process.exit(1), DRAIN_TIMEOUT_MS).unref();
      void Promise.resolve(app?.close()).finally(() => process.exit(0));
    });
  }

  app = await createApp(config, logger);
  await app.listen({ host: config.host, port: config.port });
  const address = (await app.getUrl()).replace('[::1]', 'localhost');
  logger.info({ event: 'listening', address });
  logger.info({
    event: 'email_verification',
    setting: config.emailVerification,
    meaning: MEANING[config.emailVerification],
  });
  if (config.isProduction && config.smtpUrl === '') {
    logger.warn({
      event: 'no_mail',
      meaning: 'SMTP_URL is empty: nobody can recover a password, and nobody is notified.',
    });
  }
  if (config.nodeEnv === 'development') greet(address, config.docs === 'on');
}

function greet(address: string, hasDocs: boolean): void {
  console.log(`
Gatehouse listens on ${address}
${hasDocs ? `Swagger UI:  ${address}/docs\n` : ''}Try it:

  curl -sS ${address}/auth/signup -H 'Content-Type: application/json' \\
    -d '{"email":"ada@example.com","password":"violet kettle gravel"}'
`);
}

/** In words for the operator. A driver's message may quote an address with its password; its code does not. */
function describe(error: unknown): string {
  if (error instanceof InvalidConfig) return error.message;
  const { code, name, message, address, port } = error as NodeJS.ErrnoException & { address?: string; port?: number };
  let reason = code ?? `${name}: ${message}`;
  if (error instanceof DatabaseRefuses) reason = message;
  if (code === 'EADDRINUSE') reason = `port ${port} of ${address} is in use by another process (${code})`;
  return `Gatehouse could not start: ${reason}`;
}

main().catch((error: unknown) => {
  console.error(describe(error));
  process.exit(1);
});
