import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { atLeast } from '../support/report.mjs';
import { startMint } from '../support/token-mint.mjs';

export const name = 'verifier';
export const goal = { distinct: atLeast(0.95), repeated: atLeast(20) };

/** More than a verifier remembers, which is twice 10,000. */
const TOKENS = 30_000;
/** No signature is checked so much faster than by jose. */
const REMEMBERED_WHEN_ABOVE = 5;
const BUILT = new URL('../../dist/verifier/verifier.js', import.meta.url);
const CHILD = fileURLToPath(new URL('../support/verifier-speed.mjs', import.meta.url));

/** Verifications per second on one core by gatehouse-verifier, of distinct and of repeated tokens, : by jose.jwtVerify alone. */
export async function run(context) {
  if (!existsSync(BUILT)) throw new Error('dist/verifier is not there: npm run build');
  const mint = await startMint();
  context.onClose(() => mint.close());
  const child = startOnOneCore();
  context.onClose(() => child.kill('SIGKILL'));
  const ended = once(child, 'exit').then(() => Promise.reject(new Error('the verifying process ended')));
  ended.catch(() => undefined); // it also ends when the scenario does
  const ask = async (message) => {
    child.send(message);
    return (await Promise.race([once(child, 'message'), ended]))[0];
  };
  const { issuer, audience, jwks } = mint;
  await ask({ issuer, audience, jwks, tokens: Array.from({ length: TOKENS }, () => mint.makeToken()) });

  await ask({ seconds: 1 });
  return context.measure(async () => {
    const { distinct, repeated, jose } = await ask({ seconds: context.seconds });
    if (distinct > REMEMBERED_WHEN_ABOVE * jose) throw new Error('distinct tokens were remembered: make more of them');
    return {
      distinct: distinct / jose,
      distinct_per_s: distinct,
      distinct_jose_per_s: jose,
      repeated: repeated / jose,
      repeated_per_s: repeated,
      repeated_jose_per_s: jose,
    };
  });
}

/** jose verifies in libuv's threads, and would have two cores where ours has one: `taskset`, where there is one, keeps it to one. */
function startOnOneCore() {
  const command = hasTaskset() ? ['taskset', '-c', '0', process.execPath, CHILD] : [process.execPath, CHILD];
  return spawn(command[0], command.slice(1), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
  });
}

function hasTaskset() {
  try {
    execFileSync('taskset', ['-c', '0', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
