import { expect, test } from 'vitest';
import { backOffSeconds } from '../../../src/mail/outbox.worker.js';

test('5 s, doubled each time, at most an hour', () => {
  const middle = Array.from({ length: 13 }, (_, i) => backOffSeconds(i + 1, 0.5));
  expect(middle).toEqual([5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600]);
  expect(backOffSeconds(5_000, 0.5)).toBe(3_600);
});

test('give or take a fifth', () => {
  expect(backOffSeconds(1, 0)).toBeCloseTo(4);
  expect(backOffSeconds(1, 1)).toBeCloseTo(6);
  const some = Array.from({ length: 50 }, () => backOffSeconds(3));
  expect(new Set(some).size).toBeGreaterThan(10);
  for (const seconds of some) expect(Math.abs(seconds - 20)).toBeLessThanOrEqual(4);
});
