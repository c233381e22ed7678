import { fork } from 'node:child_process';
import { once } from 'node:events';
import { AT_A_TIME, inCircles, loginsPerSecond, makePeople, peopleFor } from '../support/accounts.mjs';
import { atLeast } from '../support/report.mjs';

export const name = 'login';
export const goal = { ratio: atLeast(0.95) };

/** The default. */
const COST = 12;
/** Under way at the same time, for each core: more than it can compute, so that it is never idle. */
const PER_CORE = 8;
/** What runs so seldom, some eight times a second, is compiled after minutes, not after seconds. */
const WARM_UP_ROUNDS = 5;

/** Logins per second, each by another person, : bcrypt hashes per second at the same cost on all cores. */
export async function run(context) {
  const concurrency = Math.min(AT_A_TIME, PER_CORE * context.cores);
  // Of one hash at a core's pace some eight are to fit into a measurement.
  const seconds = Math.max(3, context.seconds);
  const gatehouse = await context.gatehouse(await context.makeDatabase(), { BCRYPT_COST: String(COST) });
  const people = await makePeople(gatehouse, peopleFor(context, (WARM_UP_ROUNDS + context.rounds) * seconds));
  const child = fork(new URL('../support/raw-bcrypt.mjs', import.meta.url), {
    env: { ...process.env, UV_THREADPOOL_SIZE: String(context.cores) },
  });
  context.onClose(() => child.kill());
  const hashes = async (duration) => {
    child.send({ cost: COST, concurrency, seconds: duration });
    return (await once(child, 'message'))[0];
  };
  const nextPerson = inCircles(people);
  const logins = (duration) => loginsPerSecond(gatehouse, nextPerson, { concurrency, seconds: duration });

  await logins(WARM_UP_ROUNDS * seconds);
  return context.measure(async () => {
    const ours = await logins(seconds);
    const raw = await hashes(seconds);
    return { ratio: ours / raw, logins_per_s: ours, hashes_per_s: raw };
  });
}
