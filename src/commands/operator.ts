import type { INestApplicationContext } from '@nestjs/common';
import { userInfo } from 'node:os';
import type { Actor } from '../audit/audit-trail.js';

/**
 * Runs a command's work beside the service's own modules, which are closed again however it ends.
 *
 * @param options.takesLostKeys also where there is a signing key under a master key that we do not have: for what shows that
 *   and mends it.
 */
export type InContext = <T>(
  work: (app: INestApplicationContext) => Promise<T>,
  options?: { takesLostKeys: boolean },
) => Promise<T>;

/** The column of `actor_id`. */
const MAX_ACTOR_ID = 64;

/** Who runs the command: the login name, or the number where the system has no name for it. */
export function operator(): Actor {
  return { type: 'operator', id: loginName().slice(0, MAX_ACTOR_ID) };
}

function loginName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid:${process.getuid?.() ?? 'unknown'}`; // a container may run as a number that nobody has named
  }
}
