import { setTimeout as sleep } from 'node:timers/promises';
import { createVerifier, type Verifier, type VerifierOptions } from '../verifier/verifier.js';

/** Between two tries of a place that still accepts the token, in milliseconds. */
const PAUSE_MS = 1;
/** The first sync of a verifier takes no longer, in milliseconds. */
const READY_MS = 30_000;
/** An answer of the API takes no longer, in milliseconds. */
const ANSWER_MS = 10_000;

export interface CanarySettings {
  /** Addresses of instances of the API. Logins and logouts go to the first. */
  urls: string[];
  /** An account that can log in. */
  email: string;
  password: string;
  /** One verifier for each of them. */
  verifiers: VerifierOptions[];
  rounds: number;
  /** A place that still accepts a token so long after its logout has not heard of that at all, in milliseconds. */
  giveUpMs: number;
  /** What takes longer is no answer, in milliseconds. */
  timeoutMs?: number;
  onRound?: (round: number) => void;
}

/** How long after the logout's answer one place still accepted the token, in milliseconds, a number for each round. */
export interface Propagation {
  place: string;
  /** 0: it was refused at the first try. Infinity: never, as far as was waited. */
  ms: number[];
}

/** The canary could not sing: it says nothing about logouts. */
export class CanaryFailed extends Error {}

/**
 * Logs in, logs out, and measures how long the token is still accepted: by each instance of the API, asked once and then
 * until it refuses, and by a verifier for each of `verifiers`, which knows of the logout by the feed alone. Ends with the
 * round in which one never refuses: there is nothing to measure any more.
 *
 * @throws CanaryFailed when it cannot log in, or a place does not accept the token in the first place.
 */
export async function measureLogouts(settings: CanarySettings): Promise<Propagation[]> {
  await logOut(settings, await logIn(settings)); // before anything that takes longer to fail
  const verifiers = settings.verifiers.map((options) => ({ options, verifier: createVerifier(options) }));
  try {
    await Promise.all(verifiers.map(({ verifier }) => verifier.ready({ timeoutMs: READY_MS })));
    const places = [
      ...settings.urls.map((url) => ({ place: url, accepts: (token: string) => isAcceptedAt(url, token, settings) })),
      ...verifiers.map(({ options, verifier }, i) => ({
        place: `verifier ${i + 1} (${options.baseUrl ?? options.issuer})`,
        accepts: (token: string) => isVerified(verifier, token),
      })),
    ];
    const propagations = places.map(({ place }) => ({ place, ms: [] as number[] }));
    for (let round = 1; round <= settings.rounds; round++) {
      const token = await logIn(settings);
      try {
        for (const { place, accepts } of places) {
          if (!(await accepts(token))) throw new CanaryFailed(`${place} refuses a token that is good.`);
        }
      } finally {
        await logOut(settings, token);
      }
      const answeredAt = performance.now();
      const times = await Promise.all(
        places.map(({ accepts }) => timeToRefusal(() => accepts(token), answeredAt, settings.giveUpMs)),
      );
      times.forEach((ms, i) => propagations[i]?.ms.push(ms));
      settings.onRound?.(round);
      if (times.includes(Infinity)) break;
    }
    return propagations;
  } finally {
    await Promise.all(verifiers.map(({ verifier }) => verifier.close()));
  }
}

/** The smallest of the values that so large a part of them does not exceed. @param part 0 to 1. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? NaN;
}

async function timeToRefusal(isAccepted: () => Promise<boolean>, since: number, giveUpMs: number): Promise<number> {
  if (!(await isAccepted())) return 0;
  while (await isAccepted()) {
    if (performance.now() - since > giveUpMs) return Infinity;
    await sleep(PAUSE_MS);
  }
  return performance.now() - since;
}

async function isVerified(verifier: Verifier, token: string): Promise<boolean> {
  const result = await verifier.verify(token);
  if (!result.ok && result.reason !== 'revoked') throw new CanaryFailed(`A verifier says ${result.reason}.`);
  return result.ok;
}

async function isAcceptedAt(url: string, token: string, settings: CanarySettings): Promise<boolean> {
  const { status } = await ask(`${url}/auth/verify`, { headers: { Authorization: `Bearer ${token}` } }, settings);
  if (status !== 204 && status !== 401) throw new CanaryFailed(`${url}/auth/verify answers ${status}.`);
  return status === 204;
}

async function logIn(settings: CanarySettings): Promise<string> {
  const { urls, email, password } = settings;
  const address = `${urls[0]}/auth/login`;
  const request = {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ email, password }),
  };
  const { status, body } = await ask(address, request, settings);
  if (status !== 200) throw new CanaryFailed(`${address} answers ${status}.`);
  return (JSON.parse(body) as { access_token: string }).access_token;
}

async function logOut(settings: CanarySettings, token: string): Promise<void> {
  const address = `${settings.urls[0]}/auth/logout`;
  const request = { method: 'POST', headers: { Authorization: `Bearer ${token}` } };
  const { status } = await ask(address, request, settings);
  if (status !== 204) throw new CanaryFailed(`${address} answers ${status}.`);
}

async function ask(
  address: string,
  request: RequestInit,
  { timeoutMs = ANSWER_MS }: CanarySettings,
): Promise<{ status: number; body: string }> {
  const controller = new AbortController();
  // Not `AbortSignal.timeout`, which keeps no process alive: on Node 20 a `fetch` whose connection was closed at once may
  // never settle, and the process would end without a word.
  const timer = setTimeout(() => controller.abort(new Error(`in ${timeoutMs} ms`)), timeoutMs);
  try {
    const response = await fetch(address, { ...request, signal: controller.signal });
    return { status: response.status, body: await response.text() };
  } catch (error) {
    const { message, cause } = error as Error;
    const { code } = (cause ?? {}) as NodeJS.ErrnoException;
    throw new CanaryFailed(`${address} does not answer (${code ?? message}).`);
  } finally {
    clearTimeout(timer);
  }
}
