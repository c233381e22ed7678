import type { FastifyInstance } from 'fastify';
import { finished } from 'node:stream';
import { Turnstile } from './common/turnstile.js';
import type { Config } from './config/config.js';

/** What bcrypt takes at cost 0, in milliseconds; each step of the cost doubles it. Half of it or twice as much does as well. */
const HASH_MS = 0.06;
/** For one that the threads can hash, so many logins may begin: the threads never wait for them. */
const BEGINNINGS_PER_HASH = 8;

/**
 * Lets logins begin one by one: a crowd of them waits for the threads that hash in any case, and had better not keep everybody
 * else from the event loop before (docs/adr/0011-speed.md). One that is refused without a hash, by its budget for example, makes
 * place for the next one with its answer. Call it before the routes are registered.
 */
export function addTurnstile(
  fastify: FastifyInstance,
  { bcryptCost, hashConcurrency }: Pick<Config, 'bcryptCost' | 'hashConcurrency'>,
): void {
  const turnstile = new Turnstile((HASH_MS * 2 ** bcryptCost) / hashConcurrency / BEGINNINGS_PER_HASH);
  fastify.addHook('onRequest', (request, reply, done) => {
    if (request.routeOptions.url !== '/auth/login') return done();
    turnstile.enter((leave) => {
      if (request.raw.destroyed) return leave(); // nobody waits for it any more
      finished(reply.raw, leave);
      done();
    });
  });
}
