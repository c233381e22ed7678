import type { INestApplicationContext } from '@nestjs/common';
import type { Command } from 'commander';
import { AuditTrail } from '../audit/audit-trail.js';
import { RewrapService, type RewrapCounts } from '../auth/rewrap.service.js';
import { Clock } from '../common/clock.js';
import { KeyRotation, type HeldKey } from '../tokens/key-rotation.js';
import type { SigningKey } from '../tokens/signing-key.entity.js';
import { confirmByTyping, isTerminal } from './confirm.js';
import { operator, type InContext } from './operator.js';
import { CommandFailed, complain, print, printJson } from './output.js';
import { Progress } from './progress.js';

interface Options {
  json?: true;
  yes?: true;
}

/** Adds what an operator may do about the keys: those that sign, and the master key that they and the passwords are sealed under. */
export function addKeyCommands(program: Command, inContext: InContext): void {
  const command = (name: string, description: string) =>
    program.command(name).description(description).option('--json', 'print one JSON object on a line');

  command('keys:list', 'the signing keys and their lives').action(({ json }: Options) =>
    inContext((app) => list(app, json), { takesLostKeys: true }),
  );

  command('keys:rotate', 'have the next key sign as soon as everybody can know it').action(({ json }: Options) =>
    inContext((app) => rotate(app, json)),
  );

  command('keys:revoke', 'a key is in wrong hands: whatever it has signed is refused, everywhere; asks first')
    .argument('<kid>', 'the key, as keys:list and the header of a token name it')
    .option('--yes', 'do not ask')
    .action(async (kid: string, options: Options) => {
      if (!options.yes && !isTerminal()) {
        throw new CommandFailed(
          'Nothing was revoked: it cannot be undone, and without a terminal to ask on needs --yes.',
        );
      }
      await inContext((app) => revoke(app, kid, options), { takesLostKeys: true });
    });

  command('keys:rewrap', 'seal everything again under the first master key of the list; may be repeated').action(
    ({ json }: Options) => rewrap(inContext, json),
  );
}

async function list(app: INestApplicationContext, json: true | undefined): Promise<void> {
  await app
    .get(AuditTrail, { strict: false })
    .record({ type: 'sensitive_read', reason: 'key_list', actor: operator() });
  const { ours, foreign } = await rotation(app).read();
  const views = [...ours.map(view), ...foreign.map(foreignView)].sort((one, other) => one.number - other.number);
  for (const key of views) {
    if (json) printJson(key);
    else print(line(key));
  }
  if (views.length === 0 && !json) print('There is no key yet: the first login makes one.');
}

async function rotate(app: INestApplicationContext, json: true | undefined): Promise<void> {
  const { kid, activatesAt, isChanged } = await rotation(app).rotate(operator());
  if (json) return printJson({ kid, activates_at: activatesAt, changed: isChanged });
  const now = app.get(Clock, { strict: false }).now();
  const words = activatesAt <= now ? 'signs now' : `signs from ${activatesAt.toISOString()} on`;
  print(`${isChanged ? '' : 'Nothing to do: '}${kid} ${words}.`);
}

async function revoke(app: INestApplicationContext, kid: string, { json, yes }: Options): Promise<void> {
  const question = `Everybody whose token it has signed has to refresh it. Type the kid to revoke ${kid}: `;
  if (!yes && !(await confirmByTyping(question, (typed) => typed === kid))) {
    throw new CommandFailed('Nothing was revoked: that is not the kid.');
  }
  const revoked = await rotation(app).revoke(kid, operator());
  if (revoked.result === 'unknown') throw new CommandFailed(`There is no key ${kid}.`);
  const isChanged = revoked.result === 'revoked';
  const successor = isChanged ? revoked.successor : undefined;
  if (json) printJson({ kid, changed: isChanged, active: successor ?? null });
  else if (!isChanged) print(`Nothing to do: ${kid} is revoked already.`);
  else print(`${kid} is revoked: what it has signed is refused.${successor ? ` ${successor} signs now.` : ''}`);
  if (isChanged && !successor) complain('No other key could be made to sign. A server does that with the next login.');
}

async function rewrap(inContext: InContext, json: true | undefined): Promise<void> {
  let isInterrupted = false;
  const interrupt = () => void (isInterrupted = true);
  // Once: whoever asks twice does not want to wait for the batch.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupt);
  const { rewrapped, unopenable } = await inContext(async (app) => {
    const service = app.get(RewrapService, { strict: false });
    const progress = new Progress('values', await service.count());
    try {
      return await service.rewrap(
        operator(),
        (seen) => progress.show(seen),
        () => isInterrupted,
      );
    } finally {
      progress.clear();
    }
  });
  if (isInterrupted) complain('Interrupted: the same command goes on from here.');
  const lost = sum(unopenable);
  if (lost > 0) complain(`${lost} values open under none of the master keys: ${counts(unopenable)}.`);
  if (json) printJson({ rewrapped, unopenable });
  else if (sum(rewrapped) > 0) print(`${sum(rewrapped)} values are sealed again: ${counts(rewrapped)}.`);
  else print('Nothing to do: everything that opens is under the first master key.');
  if (isInterrupted || lost > 0) process.exitCode = 1;
}

function sum(byKind: RewrapCounts['rewrapped']): number {
  return Object.values(byKind).reduce((total, one) => total + one, 0);
}

function counts(byKind: RewrapCounts['rewrapped']): string {
  return Object.entries(byKind)
    .filter(([, count]) => count > 0)
    .map(([kind, count]) => `${kind} ${count}`)
    .join(', ');
}

interface KeyView {
  kid: string;
  number: number;
  state: string;
  created_at: Date;
  activates_at: Date;
  retires_at: Date | null;
  gone_at: Date | null;
}

function view({ row, life }: HeldKey): KeyView {
  const { kid, number, createdAt, activatesAt } = row;
  const { state, retiresAt, goneAt } = life;
  const instants = { created_at: createdAt, activates_at: activatesAt, retires_at: retiresAt, gone_at: goneAt };
  return { kid, number, state, ...instants };
}

/** What no master key opens is used by nobody here, whatever its instants say. */
function foreignView(row: SigningKey): KeyView {
  const { kid, number, createdAt, activatesAt, revokedAt } = row;
  const instants = { created_at: createdAt, activates_at: activatesAt, retires_at: null, gone_at: revokedAt };
  return { kid, number, state: 'not_openable', ...instants };
}

function rotation(app: INestApplicationContext): KeyRotation {
  return app.get(KeyRotation, { strict: false });
}

function line({ kid, number, state, activates_at, retires_at, gone_at }: KeyView): string {
  const at = (instant: Date | null) => instant?.toISOString() ?? '-';
  return `${kid}  ${number}  ${state}  signs ${at(activates_at)}  retires ${at(retires_at)}  gone ${at(gone_at)}`;
}
