import type { INestApplicationContext } from '@nestjs/common';
import type { Command } from 'commander';
import { accountView, sessionView } from '../auth/account/account-export.service.js';
import { AccountAdministrationService, type AccountSummary } from '../auth/account/account-administration.service.js';
import type { User } from '../users/user.entity.js';
import { confirmByEmail, isTerminal } from './confirm.js';
import { operator, type InContext } from './operator.js';
import { CommandFailed, fieldLines, print, printable, printJson } from './output.js';

interface Options {
  json?: true;
  yes?: true;
}

/** What came of a command that changes an account: in words, and with what there is to count. */
interface Outcome {
  isChanged: boolean;
  words: string;
  counts?: Record<string, number>;
}

/** Adds what an operator may do to one account. None of it sets a password. */
export function addUserCommands(program: Command, inContext: InContext): void {
  const command = (name: string, description: string) =>
    program
      .command(name)
      .description(description)
      .argument('<account>', 'its id, or its e-mail address')
      .option('--json', 'print one JSON object on a line');

  command('user:show', 'what is known about an account').action((account: string, { json }: Options) =>
    inContext(async (app) => {
      const summary = await administration(app).show(await find(app, account), operator());
      if (json) printJson(summaryJson(summary));
      else for (const line of fieldLines(summaryFields(summary))) print(line);
    }),
  );

  const changing = (change: (service: AccountAdministrationService, user: User) => Promise<Outcome>) =>
    function (account: string, { json }: Options): Promise<void> {
      return inContext(async (app) => {
        const user = await find(app, account);
        tell(user, await change(administration(app), user), json);
      });
    };
  command('user:disable', 'nobody logs in to it, and its sessions end at once').action(changing(disable));
  command('user:enable', 'undo user:disable; its sessions stay ended').action(changing(enable));
  command('user:logout', 'end its sessions at once').action(changing(logOut));

  command('user:delete', 'delete it for good; asks first')
    .option('--yes', 'do not ask')
    .action(async (account: string, options: Options) => {
      if (!options.yes && !isTerminal()) {
        throw new CommandFailed(
          'Nothing was deleted: it cannot be undone, and without a terminal to ask on needs --yes.',
        );
      }
      await changing((service, user) => deleteAsked(service, user, options))(account, options);
    });
}

async function disable(service: AccountAdministrationService, user: User): Promise<Outcome> {
  const isChanged = await service.disable(user, operator());
  return { isChanged, words: isChanged ? 'disabled, and its sessions have ended' : stateOf(user, 'disabled already') };
}

async function enable(service: AccountAdministrationService, user: User): Promise<Outcome> {
  const isChanged = await service.enable(user, operator());
  return { isChanged, words: isChanged ? 'enabled' : stateOf(user, 'not disabled') };
}

async function logOut(service: AccountAdministrationService, user: User): Promise<Outcome> {
  const ended = await service.logOut(user, operator());
  const words = ended > 0 ? `logged out of ${counted(ended, 'session')}` : 'logged in nowhere';
  return { isChanged: ended > 0, words, counts: { sessions_ended: ended } };
}

async function deleteAsked(service: AccountAdministrationService, user: User, { yes }: Options): Promise<Outcome> {
  const isAsked = !user.deletedAt && !yes;
  if (isAsked && !(await confirmByEmail(printable(user.email)))) {
    throw new CommandFailed('Nothing was deleted: that is not the address.');
  }
  const isChanged = await service.delete(user, operator());
  return { isChanged, words: isChanged ? 'deleted' : 'deleted already' };
}

function tell(user: User, { isChanged, words, counts = {} }: Outcome, json: true | undefined): void {
  if (json) return printJson({ id: user.id, email: user.email, changed: isChanged, ...counts });
  const name = user.email === '' ? user.id : `${user.email} (${user.id})`;
  print(`${isChanged ? '' : 'Nothing to do: '}${name} is ${words}.`);
}

function stateOf({ deletedAt }: User, otherwise: string): string {
  return deletedAt ? 'deleted' : otherwise;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function summaryFields({
  user,
  lockedUntil,
  isPasswordDisabled,
  liveSessions,
}: AccountSummary): Record<string, unknown> {
  return {
    ...accountView(user),
    locked_until: lockedUntil,
    password_disabled: isPasswordDisabled,
    live_sessions: liveSessions.length,
  };
}

function summaryJson(summary: AccountSummary): object {
  return { ...summaryFields(summary), sessions: summary.liveSessions.map(sessionView) };
}

function administration(app: INestApplicationContext): AccountAdministrationService {
  return app.get(AccountAdministrationService, { strict: false });
}

async function find(app: INestApplicationContext, account: string): Promise<User> {
  const user = await administration(app).find(account);
  if (!user) throw new CommandFailed(`There is no account ${account}.`);
  return user;
}
