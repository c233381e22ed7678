import type { INestApplicationContext } from '@nestjs/common';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { AuditExport } from '../audit/audit-export.js';
import { AuditPurge, MayNotPurge } from '../audit/audit-purge.js';
import type { AuditSeal } from '../audit/audit-seal.entity.js';
import { AuditTrail } from '../audit/audit-trail.js';
import { AuditVerifier, type Finding, type KeptHead, type Verification } from '../audit/audit-verifier.js';
import { eventView } from '../audit/event-view.js';
import { SealRepository, type Period } from '../audit/seal.repository.js';
import { Clock } from '../common/clock.js';
import { Config } from '../config/config.js';
import { monthsBefore, parseInstant } from './instant.js';
import { operator, type InContext } from './operator.js';
import { CommandFailed, complain, print, printJson, streamJson } from './output.js';
import { Progress } from './progress.js';

/** PCI DSS 10.5.1. */
const RETENTION_MONTHS = 12;

interface VerifyOptions extends Period {
  head?: KeptHead;
  json?: true;
}

/** Adds what an operator may do with the audit trail: prove it, take it along, and delete what is old. */
export function addAuditCommands(program: Command, inContext: InContext): void {
  program
    .command('audit:verify')
    .description('whether the audit trail is what was written; exit code 1 when it is not')
    .option('--since <instant>', 'only what was sealed from then on', parseInstant)
    .option('--until <instant>', 'only what was sealed before', parseInstant)
    .option('--head <number:hash>', 'a seal that was kept elsewhere, which the chain must have', parseHead)
    .option('--json', 'print one JSON object on a line')
    .action(({ json, ...options }: VerifyOptions) => inContext((app) => verify(app, options, json)));

  program
    .command('audit:head')
    .description('the newest seal, to be kept elsewhere')
    .option('--json', 'print one JSON object on a line')
    .action(({ json }: { json?: true }) => inContext((app) => showHead(app, json)));

  program
    .command('audit:export')
    .description('the events, one JSON object a line, oldest first')
    .option('--since <instant>', 'only what happened from then on', parseInstant)
    .option('--until <instant>', 'only what happened before', parseInstant)
    .addOption(new Option('--format <format>', 'the only one so far').choices(['jsonl']).default('jsonl'))
    .action(({ since, until }: Period) => inContext((app) => exportEvents(app, periodOf(since, until))));

  program
    .command('audit:purge')
    .description('delete the events that were sealed before an instant')
    .requiredOption('--before <instant>', `in production at least ${RETENTION_MONTHS} months ago`, parseInstant)
    .option('--json', 'print one JSON object on a line')
    .action(({ before, json }: { before: Date; json?: true }) => inContext((app) => purge(app, before, json)));
}

async function verify(
  app: INestApplicationContext,
  { since, until, head }: VerifyOptions,
  json: true | undefined,
): Promise<void> {
  await recordRead(app, 'audit_verify');
  const verifier = app.get(AuditVerifier, { strict: false });
  const period = periodOf(since, until);
  const progress = new Progress('events', await verifier.count(period));
  const verification = await verifier.verify(period, head, (events) => progress.show(events));
  progress.clear();
  if (verification.findingCount > 0) process.exitCode = 1; // first: whoever reads may not read to the end
  if (json) printJson(verificationJson(verification));
  else tell(verification);
}

function tell(verification: Verification): void {
  const { findings, findingCount } = verification;
  if (findingCount === 0) return print(`ok: ${inWords(verification)}`);
  for (const finding of findings) print(findingLine(finding));
  if (findingCount > findings.length) complain(`There are ${findingCount}: these are the first.`);
}

function inWords({ events, seals, purgedSeals, waiting, waitingSince, head }: Verification): string {
  const purged = purgedSeals === 0 ? '' : ` (the events of ${purgedSeals} were purged)`;
  const since = waitingSince ? ` since ${waitingSince.toISOString()}` : '';
  const newest = head ? `${head.number}:${head.hash}` : 'none';
  return `${events} events in ${seals} seals${purged}, ${waiting} waiting${since}, head ${newest}`;
}

function findingLine({ kind, seal, event }: Finding): string {
  if (event === undefined) return `${kind}: seal ${seal}`;
  return `${kind}: event ${event}${seal === undefined ? '' : ` (seal ${seal})`}`;
}

function verificationJson(verification: Verification): object {
  const { events, seals, purgedSeals, waiting, waitingSince, head, findings, findingCount } = verification;
  return {
    ok: findingCount === 0,
    events,
    seals,
    purged_seals: purgedSeals,
    waiting,
    waiting_since: waitingSince ?? null,
    head: head ?? null,
    findings,
    finding_count: findingCount,
  };
}

async function showHead(app: INestApplicationContext, json: true | undefined): Promise<void> {
  await recordRead(app, 'audit_head');
  const head = await app.get(SealRepository, { strict: false }).head();
  if (!head) throw new CommandFailed('Nothing has been sealed yet.');
  if (json) printJson(headJson(head));
  else print(`${head.number}:${head.hash}  ${head.sealedAt.toISOString()}`);
}

function headJson({ number, hash, sealedAt }: AuditSeal): object {
  return { number, hash, sealed_at: sealedAt };
}

async function exportEvents(app: INestApplicationContext, period: Period): Promise<void> {
  await recordRead(app, 'audit_export');
  for await (const event of app.get(AuditExport, { strict: false }).stream(period)) {
    await streamJson(eventView(event));
  }
}

async function purge(app: INestApplicationContext, before: Date, json: true | undefined): Promise<void> {
  const latest = monthsBefore(app.get(Clock, { strict: false }).now(), RETENTION_MONTHS);
  if (app.get(Config, { strict: false }).isProduction && before > latest) {
    throw new CommandFailed(`Nothing was deleted: in production events are kept for ${RETENTION_MONTHS} months.`);
  }
  try {
    const purged = await app.get(AuditPurge, { strict: false }).purge(before, operator());
    if (json) printJson({ purged });
    else print(purged === 0 ? 'Nothing to do: no event is that old.' : `${purged} events are deleted.`);
  } catch (error) {
    throw error instanceof MayNotPurge ? new CommandFailed(error.message) : error;
  }
}

async function recordRead(app: INestApplicationContext, reason: string): Promise<void> {
  await app.get(AuditTrail, { strict: false }).record({ type: 'sensitive_read', reason, actor: operator() });
}

function periodOf(since: Date | undefined, until: Date | undefined): Period {
  return { ...(since && { since }), ...(until && { until }) };
}

function parseHead(text: string): KeptHead {
  const [, number, hash] = /^([1-9]\d{0,15}):([\w-]{43})$/.exec(text) ?? [];
  if (number === undefined || hash === undefined) {
    throw new InvalidArgumentError('Give number and hash as audit:head shows them.');
  }
  return { number: Number(number), hash };
}
