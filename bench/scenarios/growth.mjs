import { logIn, makePeople, makeTokens } from '../support/accounts.mjs';
import { migrateDatabase } from '../support/databases.mjs';
import { fillRevocations, fillUsers } from '../support/filling.mjs';
import { completionsPerSecond, throughput, withTokens } from '../support/load.mjs';
import { atLeast } from '../support/report.mjs';

export const name = 'growth';
export const goal = { check: atLeast(0.95), login: atLeast(0.95) };

const FEW_USERS = 1_000;
const PEOPLE = 200;
const LOGINS_AT_A_TIME = 16;

/**
 * Two databases, one with `BENCH_ROWS` live revocations and as many users, one with none and a thousand: checks per second
 * in the large one : in the small one, and logins per second likewise.
 */
export async function run(context) {
  const small = await prepare(context, 'small', { revocations: 0, users: FEW_USERS });
  const large = await prepare(context, 'large', { revocations: context.rows, users: context.rows });
  for (const one of [large, small]) await checks(one, Math.min(2, context.seconds));
  const checked = await context.measure(async () => {
    const many = await checks(large, context.seconds);
    const none = await checks(small, context.seconds);
    return { check: many / none, check_many_per_s: many, check_none_per_s: none };
  });
  for (const one of [large, small]) await logins(one, Math.min(2, context.seconds));
  const loggedIn = await context.measure(async () => {
    const many = await logins(large, context.seconds);
    const few = await logins(small, context.seconds);
    return { login: many / few, login_many_per_s: many, login_few_per_s: few };
  });
  return checked.map((round, i) => ({ ...round, ...loggedIn[i] }));
}

async function prepare(context, label, { revocations, users }) {
  const database = await context.makeDatabase(label);
  await migrateDatabase(database);
  if (revocations > 0) await fillRevocations(database, revocations);
  await fillUsers(database, users);
  // The lowest cost: at the default one the hash would hide what the database takes.
  const gatehouse = await context.gatehouse(database, { BCRYPT_COST: '4' });
  const people = await makePeople(gatehouse, PEOPLE);
  return { gatehouse, people, requests: withTokens('/auth/verify', await makeTokens(gatehouse, 1_000, people)) };
}

const checks = ({ gatehouse, requests }, seconds) => throughput(gatehouse.origin, requests, seconds);

function logins({ gatehouse, people }, seconds) {
  let next = 0;
  return completionsPerSecond(LOGINS_AT_A_TIME, seconds, () => logIn(gatehouse, people[next++ % people.length]));
}
