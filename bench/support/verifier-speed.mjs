// A process on one core that verifies tokens, with gatehouse-verifier or with jose alone. The first message brings what to
// verify; each further one, `{ seconds }`, is answered with verifications per second of each kind.
import { createLocalJWKSet, jwtVerify } from 'jose';
import { setImmediate as yieldToOthers } from 'node:timers/promises';
import { createVerifier } from '../../dist/verifier/verifier.js';

const TURN_MS = 100;
/** Under way together: jose's go through another thread, and one after the other would wait for that. */
const AT_A_TIME = 32;

const kinds = {};

async function prepare({ issuer, audience, jwks, tokens }) {
  const verifier = createVerifier({ issuer, audience, clientId: 'bench', clientSecret: 'bench' });
  await verifier.ready({ timeoutMs: 10_000 });
  const keys = createLocalJWKSet(jwks);
  const options = { issuer, audience, algorithms: ['ES256'], typ: 'at+jwt' };
  const ours = async (token) => {
    const result = await verifier.verify(token);
    if (!result.ok) throw new Error(`a good token was refused: ${result.reason}`);
  };
  // Round and round: there are more of them than the verifier remembers, so each is new to it when its turn comes.
  kinds.distinct = over(tokens, ours);
  kinds.repeated = over(tokens.slice(0, 1_000), ours);
  kinds.jose = over(tokens, (token) => jwtVerify(token, keys, options));
}

/** Verifies one after the other of `tokens`, from where it stopped, for so long. @returns how many. */
function over(tokens, verify) {
  let next = 0;
  return async (ms) => {
    const end = performance.now() + ms;
    let count = 0;
    while (performance.now() < end) {
      const batch = [];
      for (let i = 0; i < AT_A_TIME; i++) batch.push(verify(tokens[next++ % tokens.length]));
      await Promise.all(batch);
      count += AT_A_TIME;
    }
    return count;
  };
}

/**
 * Each kind for so many seconds, in short turns: what else the machine does meets all of them.
 *
 * @returns how many a second of processor time: jose's second thread would otherwise get a second share of a busy core.
 */
async function measure(seconds) {
  const totals = Object.fromEntries(Object.keys(kinds).map((kind) => [kind, { count: 0, microseconds: 0 }]));
  const turns = Math.ceil((seconds * 1000) / TURN_MS);
  for (let turn = 0; turn < turns; turn++) {
    for (const [kind, total] of Object.entries(totals)) {
      const before = process.cpuUsage();
      total.count += await kinds[kind](TURN_MS);
      const { user, system } = process.cpuUsage(before);
      total.microseconds += user + system;
      // As in a service, others get their turn as well: else the verifier would miss its feed, and go stale.
      await yieldToOthers();
    }
  }
  return Object.fromEntries(
    Object.entries(totals).map(([kind, { count, microseconds }]) => [kind, (1e6 * count) / microseconds]),
  );
}

process.on('message', (message) => {
  const work = message.tokens ? prepare(message).then(() => 'ready') : measure(message.seconds);
  work.then(
    (result) => process.send(result),
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
});
