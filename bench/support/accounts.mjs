// People, and the tokens that they log in for.
import { randomBytes } from 'node:crypto';
import { Agent, request } from 'node:http';
import { completionsPerSecond } from './load.mjs';

const PASSWORD = 'violet kettle gravel';
/** Sessions of one person at a time; an eleventh ends the first. */
const SESSIONS = 10;
const HASHES_PER_SECOND = 6;
/** People who log in at the same time, at most. */
export const AT_A_TIME = 32;
/** Who asks at the same time. */
const CONCURRENCY = 8;
const agent = new Agent({ keepAlive: false });

/** The addresses of so many new accounts. */
export async function makePeople(server, count) {
  return inParallel(count, async () => {
    const email = `bench.${randomBytes(8).toString('hex')}@example.com`;
    await post(server, '/auth/signup', { email, password: PASSWORD });
    return email;
  });
}

/** A session of a person; what the login answers. @param through an agent that keeps connections, for who never pauses; none by default. */
export function logIn(server, email, through) {
  return post(server, '/auth/login', { email, password: PASSWORD }, through);
}

/** As `completionsPerSecond`, of logins, on connections that are kept meanwhile, as a proxy in front of Gatehouse keeps its. */
export async function loginsPerSecond(server, nextPerson, { concurrency, seconds }) {
  const kept = new Agent({ keepAlive: true });
  try {
    return await completionsPerSecond(concurrency, seconds, () => logIn(server, nextPerson(), kept));
  } finally {
    kept.destroy();
  }
}

/**
 * How many people may log in for so many seconds at bcrypt cost 12, in a warm-up and in every round, before one of them has more
 * sessions than are allowed, and a login ends one: at six hashes a second on each core, which is more than today's have, and
 * with those that are under way when each of these begins and when it ends.
 */
export function peopleFor({ cores, rounds }, seconds) {
  const logins = HASHES_PER_SECOND * cores * seconds + 2 * AT_A_TIME * (1 + rounds);
  return Math.max(AT_A_TIME, Math.ceil(logins / SESSIONS));
}

/** One after the other, without end, so that each logs in as often as the others. */
export function inCircles(people) {
  let next = 0;
  return () => people[next++ % people.length];
}

/** Access tokens of so many sessions, of new people with ten each if nobody else is named. */
export async function makeTokens(server, count, people) {
  people ??= await makePeople(server, Math.ceil(count / SESSIONS));
  const answers = await inParallel(count, (i) => logIn(server, people[i % people.length]));
  return answers.map((answer) => answer.access_token);
}

async function inParallel(count, work) {
  const results = [];
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const i = next++;
      results[i] = await work(i);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  return results;
}

/** On a connection of its own: a kept one may be closed by the server while the next request is on its way. */
function post({ origin }, path, body, through = agent) {
  const text = JSON.stringify(body);
  const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) };
  return new Promise((resolve, reject) => {
    const answered = async (response) => {
      const chunks = [];
      for await (const chunk of response) chunks.push(chunk);
      const answer = Buffer.concat(chunks).toString();
      if (response.statusCode >= 300) throw new Error(`${path}: ${response.statusCode} ${answer}`);
      return JSON.parse(answer);
    };
    request(origin + path, { method: 'POST', agent: through, headers }, (response) =>
      answered(response).then(resolve, reject),
    )
      .once('error', reject)
      .end(text);
  });
}
