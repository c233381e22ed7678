import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Turnstile } from '../../../src/common/turnstile.js';

test('a crowd goes through one at a turn of the event loop, in its order, and others in between', async () => {
  const turnstile = new Turnstile();
  const through: number[] = [];
  const crowd = Array.from({ length: 30 }, (_, i) => turnstile.pass().then(() => through.push(i)));
  const seen: number[] = [];
  while (through.length < 30) {
    await turn();
    seen.push(through.length);
  }
  await Promise.all(crowd);
  expect(through).toEqual(Array.from({ length: 30 }, (_, i) => i));
  expect(Math.max(...seen.map((count, i) => count - (seen[i - 1] ?? 0)))).toBe(1);
  await turnstile.pass(); // and it is open for whoever comes later
});
