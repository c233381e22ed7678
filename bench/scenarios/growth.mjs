import { inCircles, loginsPerSecond, makePeople, makeTokens } from '../support/accounts.mjs';
import { migrateDatabase } from '../support/databases.mjs';
import { fillRevocations, fillUsers } from '../support/filling.mjs';
import { throughput, withTokens } from '../support/load.mjs';
import { atLeast } from '../support/report.mjs';

export const name = 'growth';
export const goal = { check: atLeast(0.95), login: atLeast(0.95) };

const FEW_USERS = 1_000;
const PEOPLE = 200;
const LOGINS_AT_A_TIME = 16;
/** In less a busy machine completes no login. */
const TURN_SECONDS = 2;

/**
 * Two databases, one with `BENCH_ROWS` live revocations and as many users, one with none and a thousand: checks per second
 * in the large one : in the small one, and logins per second likewise.
 */
export async function run(context) {
  const small = await prepare(context, 'small', { revocations: 0, users: FEW_USERS });
  const large = await prepare(context, 'large', { revocations: context.rows, users: context.rows });
  const checked = await takeTurns(context, checks, large, small);
  const loggedIn = await takeTurns(context, logins, large, small);
  return checked.map((check, i) => ({
    check: check.large / check.small,
    check_many_per_s: check.large,
    check_none_per_s: check.small,
    login: loggedIn[i].large / loggedIn[i].small,
    login_many_per_s: loggedIn[i].large,
    login_few_per_s: loggedIn[i].small,
  }));
}

/**
 * Large, small, small, large, a turn each, until each has had its time: what else the machine does, and what it gets used to,
 * meets both alike.
 */
async function takeTurns(context, rateOf, large, small) {
  for (const one of [large, small]) await rateOf(one, TURN_SECONDS);
  const times = Math.ceil(context.seconds / (2 * TURN_SECONDS));
  return context.measure(async () => {
    const rates = { large: 0, small: 0 };
    for (const which of Array(times).fill(['large', 'small', 'small', 'large']).flat()) {
      rates[which] += (await rateOf({ large, small }[which], TURN_SECONDS)) / (2 * times);
    }
    return rates;
  });
}

async function prepare(context, label, { revocations, users }) {
  const database = await context.makeDatabase(label);
  await migrateDatabase(database);
  if (revocations > 0) await fillRevocations(database, revocations);
  await fillUsers(database, users);
  // The lowest cost: at the default one the hash would hide what the database takes.
  const gatehouse = await context.gatehouse(database, { BCRYPT_COST: '4' });
  const people = await makePeople(gatehouse, PEOPLE);
  const requests = withTokens('/auth/verify', await makeTokens(gatehouse, 1_000, people));
  return { gatehouse, requests, nextPerson: inCircles(people) };
}

const checks = ({ gatehouse, requests }, seconds) => throughput(gatehouse.origin, requests, seconds);

function logins({ gatehouse, nextPerson }, seconds) {
  return loginsPerSecond(gatehouse, nextPerson, { concurrency: LOGINS_AT_A_TIME, seconds });
}
