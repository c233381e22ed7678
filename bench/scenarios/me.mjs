import { makeTokens } from '../support/accounts.mjs';
import { compare, withTokens } from '../support/load.mjs';
import { atLeast } from '../support/report.mjs';

export const name = 'me';
export const goal = { ratio: atLeast(0.5) };

/** `GET /users/me`, which reads the account's row each time, : a bare route. */
export async function run(context) {
  const gatehouse = await context.gatehouse(await context.makeDatabase(), { BCRYPT_COST: '4' });
  const bare = await context.bare();
  const tokens = await makeTokens(gatehouse, 1_000);
  const ours = { origin: gatehouse.origin, requests: withTokens('/users/me', tokens) };
  const limit = { origin: bare.origin, requests: withTokens('/probe', tokens) };
  return compare(context, [ours, limit], ['me_per_s', 'bare_per_s']);
}
