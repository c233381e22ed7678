import { logIn, makePeople, makeTokens } from '../support/accounts.mjs';
import { pacedP99, withTokens } from '../support/load.mjs';
import { atMost } from '../support/report.mjs';

export const name = 'storm';
export const goal = { ratio: atMost(1.5) };

const PEOPLE = 32;
const CHECKS_PER_SECOND = 300;

/** p99 of checks while 32 people log in without pause, : the same when nobody does. */
export async function run(context) {
  const gatehouse = await context.gatehouse(await context.makeDatabase(), { BCRYPT_COST: '12' });
  const people = await makePeople(gatehouse, PEOPLE);
  const requests = withTokens('/auth/verify', await makeTokens(gatehouse, 10));
  const load = { perSecond: CHECKS_PER_SECOND, seconds: context.seconds };
  await pacedP99(gatehouse.origin, requests, { ...load, seconds: 1 });

  return context.measure(async () => {
    const idle = await pacedP99(gatehouse.origin, requests, load);
    const storm = startStorm(gatehouse, people);
    const busy = await pacedP99(gatehouse.origin, requests, load);
    const logins = await storm.end();
    if (logins === 0) throw new Error('nobody logged in: that is no storm');
    return { ratio: busy / idle, busy_p99_ms: busy, idle_p99_ms: idle, logins };
  });
}

/** Each person logs in, again and again. @returns `end`: waits for those under way, and tells how many there were. */
function startStorm(gatehouse, people) {
  let isOver = false;
  let logins = 0;
  const all = Promise.all(
    people.map(async (email) => {
      while (!isOver) {
        await logIn(gatehouse, email);
        logins++;
      }
    }),
  );
  all.catch(() => undefined); // told of at the end
  return {
    end: async () => {
      isOver = true;
      await all;
      return logins;
    },
  };
}
