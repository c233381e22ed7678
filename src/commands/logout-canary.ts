import { setTimeout as sleep } from 'node:timers/promises';
import { createVerifier, type Verifier, type VerifierOptions } from '../verifier/verifier.js';

/** Between two tries of a place that still accepts the token, in milliseconds. */
const PAUSE_MS = 1;
/** The first sync of a verifier takes no longer, in milliseconds. */
const READY_MS = 30_000;

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
      ...settings.urls.map((url) => ({ place: url, accepts: (token: string) => isAcceptedAt(url, token) })),
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

async function isAcceptedAt(url: string, token: string): Promise<boolean> {
  const { status } = await ask(`${url}/auth/verify`, { headers: { Authorization: `Bearer ${token}` } });
  if (status !== 204 && status !== 401) throw new CanaryFailed(`${url}/auth/verify answers ${status}.`);
  return status === 204;
}

async function logIn({ urls: [url = ''], email, password }: CanarySettings): Promise<string> {
  const response = await ask(`${url}/auth/login`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ email, password }),
  });
  if (response.status !== 200) throw new CanaryFailed(`${url}/auth/login answers ${response.status}.`);
  return ((await response.json()) as { access_token: string }).access_token;
}

async function logOut({ urls: [url = ''] }: CanarySettings, token: string): Promise<void> {
  const response = await ask(`${url}/auth/logout`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}` },
  });
  if (response.status !== 204) throw new CanaryFailed(`${url}/auth/logout answers ${response.status}.`);
}

async function ask(address: string, request: RequestInit): Promise<Response> {
  try {
    return await fetch(address, request);
  } catch (error) {
    const { message, cause } = error as Error;
    const { code } = (cause ?? {}) as NodeJS.ErrnoException;
    throw new CanaryFailed(`${address} does not answer (${code ?? message}).`);
  }
}
