import type { SigningKey } from './signing-key.entity.js';

/** What the JWKS says about itself (`Cache-Control: max-age`). */
export const JWKS_MAX_AGE_SECONDS = 300;
/** Verifiers may keep a JWKS for so long, whatever it says about itself: jose's default. */
const VERIFIER_CACHE_SECONDS = 600;
/** No access token lives longer. */
export const MAX_TOKEN_LIFE_SECONDS = 900;
/** The clock of a verifier, or of another instance, may be behind by this much. */
const SKEW_SECONDS = 60;

/**
 * A key is in the JWKS for so long before it signs: by then everybody has it, also the verifier that has kept what a cache in
 * front of it had kept before.
 */
export const PUBLISHED_SECONDS = JWKS_MAX_AGE_SECONDS + VERIFIER_CACHE_SECONDS;
/** A key stays in the JWKS for so long after it has signed for the last time: by then nothing of it is alive. */
export const KEPT_SECONDS = MAX_TOKEN_LIFE_SECONDS + SKEW_SECONDS;

/**
 * `next`: published, and signs later. `active`: signs. `retired`: what it has signed is good. `gone`: nothing of it is, by time.
 * `revoked`: nothing of it is, because an operator said so.
 */
export type KeyState = 'next' | 'active' | 'retired' | 'gone' | 'revoked';

/** Where a key is in its life, and the two instants that follow from its successor's; null while there is none. */
export interface KeyLife {
  state: KeyState;
  /** From then on another key signs. */
  retiresAt: Date | null;
  /** From then on nobody accepts it. */
  goneAt: Date | null;
}

type KeyTimes = Pick<SigningKey, 'activatesAt' | 'revokedAt'>;

/**
 * The lives of keys at `now`. A key retires when a later one begins to sign, so that there is one instant and not two to agree
 * on: at any time one key signs, and no more than one.
 *
 * @param keys oldest first. Revoked ones belong to it: those that have signed took the place of the ones before them.
 */
export function livesOf(keys: readonly KeyTimes[], now: Date): KeyLife[] {
  let successorAt: Date | null = null;
  return keys
    .toReversed()
    .map((key) => {
      const life = lifeOf(key, successorAt, now);
      const hasSigned = key.revokedAt === null || key.activatesAt < key.revokedAt;
      if (hasSigned && (successorAt === null || key.activatesAt < successorAt)) successorAt = key.activatesAt;
      return life;
    })
    .reverse();
}

function lifeOf({ activatesAt, revokedAt }: KeyTimes, successorAt: Date | null, now: Date): KeyLife {
  if (revokedAt !== null) return { state: 'revoked', retiresAt: revokedAt, goneAt: revokedAt };
  const goneAt = successorAt && new Date(successorAt.getTime() + KEPT_SECONDS * 1000);
  return { state: stateOf(activatesAt, successorAt, goneAt, now), retiresAt: successorAt, goneAt };
}

function stateOf(activatesAt: Date, retiresAt: Date | null, goneAt: Date | null, now: Date): KeyState {
  if (activatesAt > now) return 'next';
  if (retiresAt === null || retiresAt > now) return 'active';
  return goneAt === null || goneAt > now ? 'retired' : 'gone';
}
