import { makeTokens } from '../support/accounts.mjs';
import { compare, withTokens } from '../support/load.mjs';
import { diagnostic } from '../support/report.mjs';

export const name = 'open';
export const goal = { ratio: diagnostic };

/** A route of Gatehouse's that does nothing and needs no token : a bare one. What limits, headers and ids cost. */
export async function run(context) {
  const gatehouse = await context.gatehouseWithProbes(await context.makeDatabase(), { BCRYPT_COST: '4' });
  const bare = await context.bare();
  const tokens = await makeTokens(gatehouse, 10);
  const ours = { origin: gatehouse.origin, requests: withTokens('/open', tokens) };
  const limit = { origin: bare.origin, requests: withTokens('/probe', tokens) };
  return compare(context, [ours, limit], ['open_per_s', 'bare_per_s']);
}
