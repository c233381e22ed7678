import { setTimeout as sleep } from 'node:timers/promises';
import { makeTokens } from '../support/accounts.mjs';
import { migrateDatabase } from '../support/databases.mjs';
import { throughput, withTokens } from '../support/load.mjs';
import { atMost, diagnostic } from '../support/report.mjs';
import { residentMb } from '../support/servers.mjs';

export const name = 'boot';
export const goal = {
  start_ms: atMost(1_500, 'ms'),
  idle_mb: atMost(150, 'MB'),
  loaded_mb: diagnostic,
};

const IDLE_SECONDS = 10;

/** From the start of the process to the first 200 of `/health/ready`; resident memory 10 s later, and after load. */
export async function run(context) {
  const database = await context.makeDatabase();
  await migrateDatabase(database);
  const first = await context.gatehouse(database); // makes the signing key and the counters, and fills the disk's cache
  await first.stop();

  let last;
  const rounds = await context.measure(async () => {
    await last?.stop();
    last = await context.gatehouse(database);
    return { start_ms: last.startedInMs };
  });
  await sleep(IDLE_SECONDS * 1000);
  rounds[0].idle_mb = await residentMb(last);
  await throughput(last.origin, withTokens('/auth/verify', await makeTokens(last, 10)), context.seconds);
  rounds[0].loaded_mb = await residentMb(last);
  return rounds;
}
