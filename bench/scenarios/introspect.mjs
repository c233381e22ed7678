import { makeTokens } from '../support/accounts.mjs';
import { compare, withTokens } from '../support/load.mjs';
import { atLeast } from '../support/report.mjs';
import { makeClient } from '../support/servers.mjs';

export const name = 'introspect';
export const goal = { ratio: atLeast(0.6) };

const AUDIENCE = 'https://api.example.com';
/** As large as a budget gets, so that it is counted and refuses nobody. */
const PLENTY = '1000000/10';

/** `POST /oauth/introspect` by a client with its secret, every token looked up, the client's budget counted, : a bare route. */
export async function run(context) {
  const gatehouse = await context.gatehouse(await context.makeDatabase(), {
    AUDIENCE,
    BCRYPT_COST: '4',
    RATE_LIMITS: 'on',
    RATE_LIMIT_SIGNUP: PLENTY,
    RATE_LIMIT_LOGIN: PLENTY,
    RATE_LIMIT_INTROSPECTION: PLENTY,
  });
  const bare = await context.bare();
  const tokens = await makeTokens(gatehouse, 1_000);
  const { client_id: id, client_secret: secret } = await makeClient(gatehouse, AUDIENCE);
  const authorization = `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString('base64')}`;
  const headers = { authorization, 'content-type': 'application/x-www-form-urlencoded' };
  const requests = tokens.map((token) => ({
    method: 'POST',
    path: '/oauth/introspect',
    headers,
    body: `token=${token}`,
  }));
  await expectActive(gatehouse, requests[0]); // a 200 says little: "not active" is one too
  const ours = { origin: gatehouse.origin, requests };
  const limit = { origin: bare.origin, requests: withTokens('/probe', tokens) };
  const rounds = await compare(context, [ours, limit], ['introspections_per_s', 'bare_per_s']);
  await expectActive(gatehouse, requests.at(-1));
  return rounds;
}

async function expectActive({ origin }, { path, ...request }) {
  const answer = await (await fetch(origin + path, request)).json();
  if (answer.active !== true) throw new Error('a good token is introspected as not active');
}
