import { expect, test } from 'vitest';
import { BreachNoticeService, MAX_CHECKS } from '../../../src/auth/breach-notice.service.js';
import type { BreachedPasswords } from '../../../src/auth/breached-passwords.js';
import type { User } from '../../../src/users/user.entity.js';

const user = { id: 'somebody', credentialsVersion: 2, breachToldAt: null } as User;

/** Checks wait until they are let go. */
function notices() {
  let asked = 0;
  let letGo = () => {};
  const gate = new Promise<void>((resolve) => (letGo = resolve));
  const breached = {
    has: async () => {
      asked += 1;
      await gate;
      return false;
    },
  } as unknown as BreachedPasswords;
  const unused = undefined as never;
  const blocklist = { has: () => false } as never;
  const service = new BreachNoticeService(unused, unused, blocklist, breached, unused, unused, unused, unused);
  return { service, letGo, asked: () => asked };
}

test('so many checks at once, and again as many when those are over', async () => {
  const { service, letGo, asked } = notices();
  for (let i = 0; i < MAX_CHECKS + 5; i++) service.lookInto(user, 'violet kettle gravel');
  expect(asked()).toBe(MAX_CHECKS);
  letGo();
  await service.settled();
  service.lookInto(user, 'violet kettle gravel');
  expect(asked()).toBe(MAX_CHECKS + 1);
});

test('who was told of this password is not looked into', () => {
  const { service, asked } = notices();
  service.lookInto({ ...user, breachToldAt: new Date(0) }, 'violet kettle gravel');
  expect(asked()).toBe(0);
});

test('the end of the process waits for them', async () => {
  const { service, letGo } = notices();
  service.lookInto(user, 'violet kettle gravel');
  let isOver = false;
  const shutdown = service.onApplicationShutdown().then(() => (isOver = true));
  await new Promise(setImmediate);
  expect(isOver).toBe(false);
  letGo();
  await shutdown;
});
