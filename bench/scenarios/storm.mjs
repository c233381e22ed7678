import { fork } from 'node:child_process';
import { once } from 'node:events';
import { AT_A_TIME, makePeople, makeTokens, peopleFor } from '../support/accounts.mjs';
import { pacedP99, withTokens } from '../support/load.mjs';
import { atMost } from '../support/report.mjs';

export const name = 'storm';
export const goal = { ratio: atMost(1.5) };

const WARM_UP_SECONDS = 2;
const CHECKS_PER_SECOND = 300;

/** p99 of checks while 32 people log in without pause, : the same when nobody does. */
export async function run(context) {
  const gatehouse = await context.gatehouse(await context.makeDatabase(), { BCRYPT_COST: '12' });
  const stormSeconds = WARM_UP_SECONDS + context.rounds * context.seconds;
  const people = await makePeople(gatehouse, peopleFor(context, stormSeconds));
  const requests = withTokens('/auth/verify', await makeTokens(gatehouse, 10));
  const load = { perSecond: CHECKS_PER_SECOND, seconds: context.seconds };
  const crowd = fork(new URL('../support/crowd.mjs', import.meta.url));
  context.onClose(() => crowd.kill());
  const during = async (seconds) => {
    crowd.send({ server: { origin: gatehouse.origin }, people, atATime: AT_A_TIME });
    const p99 = await pacedP99(gatehouse.origin, requests, { ...load, seconds });
    crowd.send('stop');
    const [logins] = await Promise.race([once(crowd, 'message'), once(crowd, 'exit').then(() => [0])]);
    if (logins === 0) throw new Error('nobody logged in: that is no storm');
    return { p99, logins };
  };
  await during(Math.min(WARM_UP_SECONDS, context.seconds)); // both measure a server that has seen one before

  return context.measure(async () => {
    const idle = await pacedP99(gatehouse.origin, requests, load);
    const { p99: busy, logins } = await during(context.seconds);
    return { ratio: busy / idle, busy_p99_ms: busy, idle_p99_ms: idle, logins };
  });
}
