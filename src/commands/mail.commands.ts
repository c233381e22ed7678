import { InvalidArgumentError, type Command } from 'commander';
import { DataSource } from 'typeorm';
import { validate as isUuid } from 'uuid';
import { AuditTrail } from '../audit/audit-trail.js';
import { inTransaction } from '../database/transaction.js';
import type { DeadMail } from '../mail/outbox.repository.js';
import { Outbox } from '../mail/outbox.js';
import { operator, type InContext } from './operator.js';
import { print, printJson } from './output.js';

interface Options {
  json?: true;
  all?: true;
}

/** Adds what an operator may do about mails that were given up. */
export function addMailCommands(program: Command, inContext: InContext): void {
  program
    .command('mail:dead')
    .description('the mails that were given up, newest first')
    .option('--json', 'print one JSON object a line')
    .action(({ json }: Options) =>
      inContext(async (app) => {
        await app
          .get(AuditTrail, { strict: false })
          .record({ type: 'sensitive_read', reason: 'mail_dead', actor: operator() });
        let count = 0;
        for await (const mail of app.get(Outbox, { strict: false }).listDead()) {
          count += 1;
          if (json) printJson(deadMailView(mail));
          else print(Object.values(inShort(mail)).join('  '));
        }
        if (count === 0 && !json) print('No mail was given up.');
      }),
    );

  program
    .command('mail:retry')
    .description('have mails that were given up tried again, for a day')
    .argument('[id...]', 'their ids, as mail:dead shows them', collectId)
    .option('--all', 'every one of them')
    .option('--json', 'print one JSON object on a line')
    .action(async (ids: string[] = [], { all, json }: Options, command: Command) => {
      if (ids.length > 0 === (all === true)) command.error('error: give either ids or --all');
      const count = await retry(inContext, all ? 'all' : ids);
      if (json) printJson({ retried: count });
      else print(count === 0 ? 'Nothing to do: none of them was given up.' : `${count} will be tried again.`);
    });
}

function retry(inContext: InContext, ids: readonly string[] | 'all'): Promise<number> {
  return inContext((app) =>
    inTransaction(app.get(DataSource), async (transaction) => {
      const count = await app.get(Outbox, { strict: false }).retry(ids, transaction);
      const entry = { reason: 'mail_retry', actor: operator(), details: { count } };
      if (count > 0) {
        await app.get(AuditTrail, { strict: false }).record({ type: 'sensitive_update', ...entry }, transaction);
      }
      return count;
    }),
  );
}

function collectId(text: string, before: string[] = []): string[] {
  if (!isUuid(text)) throw new InvalidArgumentError('It is no id of a mail.');
  return [...before, text.toLowerCase()];
}

function deadMailView(mail: DeadMail): Record<string, unknown> {
  return {
    id: mail.id,
    user_id: mail.userId,
    kind: mail.kind,
    recipient: mail.recipient,
    created_at: mail.createdAt,
    dead_at: mail.deadAt,
    attempts: mail.attempts,
    last_error: mail.lastError,
  };
}

function inShort({ id, deadAt, kind, recipient, lastError }: DeadMail): string[] {
  return [id, deadAt.toISOString(), kind, recipient, lastError ?? '-'];
}
