import { describe, expect, test } from 'vitest';
import { paceFor, retryDelayMs } from '../../../src/verifier/pace.js';
import { ServerTime } from '../../../src/verifier/server-time.js';

describe('how to ask a quiet feed', () => {
  test.each([
    [2_000, 0, 250],
    [3_000, 0, 625],
    [4_000, 1, 0],
    [5_000, 1, 0],
    [10_000, 3, 0],
    [60_000, 22, 0],
    [300_000, 25, 0],
  ])('to be no older than %d ms: wait %d s, or pause %d ms', (maxStalenessMs, waitSeconds, pauseMs) => {
    expect(paceFor(maxStalenessMs)).toEqual({ waitSeconds, pauseMs });
  });

  test('two rounds and the second of the server are three quarters of what is allowed, at most', () => {
    for (let max = 2_000; max <= 300_000; max += 500) {
      const { waitSeconds, pauseMs } = paceFor(max);
      expect(2 * (waitSeconds * 1000 + pauseMs) + 1_000).toBeLessThanOrEqual(0.75 * max);
      expect(waitSeconds * 1000 + pauseMs).toBeGreaterThan(0);
    }
  });
});

describe('when to try again', () => {
  const plain = { isInvalidClient: false, retryAfterSeconds: 0 };
  const range = (setback: Parameters<typeof retryDelayMs>[0]) => [retryDelayMs(setback, 1), retryDelayMs(setback, 0)];

  test('twice as late each time, up to 5 s, with jitter', () => {
    expect(range({ ...plain, failures: 1 })).toEqual([125, 250]);
    expect(range({ ...plain, failures: 2 })).toEqual([250, 500]);
    expect(range({ ...plain, failures: 5 })).toEqual([2_000, 4_000]);
    expect(range({ ...plain, failures: 6 })).toEqual([2_500, 5_000]);
    expect(range({ ...plain, failures: 10_000 })).toEqual([2_500, 5_000]);
  });

  test('not before the server wants it, and a minute at most', () => {
    expect(range({ ...plain, retryAfterSeconds: 10, failures: 1 })).toEqual([12_000, 10_000]);
    expect(range({ ...plain, retryAfterSeconds: 86_400, failures: 1 })).toEqual([72_000, 60_000]);
  });

  test('seldom when the secret is wrong', () => {
    expect(range({ isInvalidClient: true, retryAfterSeconds: 0, failures: 1 })).toEqual([36_000, 24_000]);
  });
});

describe('what time it must be at the server', () => {
  let now = 0;
  const serverTime = (asOf: number) => {
    now = 1_000_000;
    const time = new ServerTime(() => now);
    expect(time.isOld(asOf - 1_000)).toBe(false);
    time.note(asOf);
    return time;
  };

  test('an answer may be 5 s older than the newest', () => {
    const time = serverTime(100);
    expect(time.isOld(95)).toBe(false);
    expect(time.isOld(94)).toBe(true);
  });

  test('time goes on without answers', () => {
    const time = serverTime(100);
    now += 5_000;
    expect(time.isOld(100)).toBe(false);
    now += 1_000;
    expect(time.isOld(100)).toBe(true);
    expect(time.isOld(101)).toBe(false);
  });

  test('an answer that is played again and again cannot hold it back', () => {
    const time = serverTime(100);
    for (let i = 0; i < 4; i += 1) {
      now += 1_000;
      expect(time.isOld(100)).toBe(false);
      time.note(100);
    }
    now += 2_000;
    expect(time.isOld(100)).toBe(true);
  });

  test('a server whose clock was set back is believed again after ten seconds, when it is later than ever before', () => {
    const time = serverTime(1_000);
    now += 10_000; // and its clock is 8 s behind where it was
    expect(time.isOld(1_002)).toBe(true);
    now += 1;
    expect(time.isOld(1_000)).toBe(true); // may be an answer from before
    expect(time.isOld(1_001)).toBe(false);
    time.note(1_001);
    expect(time.isOld(996)).toBe(false);
    expect(time.isOld(995)).toBe(true);
    expect(time.newest).toBe(1_001);
  });

  test('in doubt, what may have been recorded before is old, and what was held back', () => {
    const time = serverTime(1_000);
    time.doubt();
    expect(time.isOld(1_000)).toBe(true);
    now += 7_000;
    expect(time.isOld(1_001)).toBe(true);
    expect(time.isOld(1_002)).toBe(false);
    time.note(1_002);
    expect(time.isOld(1_002)).toBe(false);
  });

  test('of several instances the newest counts', () => {
    const time = serverTime(1_000);
    time.note(997);
    expect(time.newest).toBe(1_000);
  });

  test('a server is believed whatever it says after two minutes', () => {
    const time = serverTime(1_000);
    now += 120_000;
    expect(time.isOld(1_000)).toBe(true);
    now += 1;
    expect(time.isOld(1_000)).toBe(false);
    time.note(1_000);
    expect(time.isOld(994)).toBe(true);
  });

  test('a clock that runs a little slower than ours is no replay, not after a day', () => {
    const time = serverTime(0);
    for (let second = 1; second <= 86_400; second += 1) {
      now += 1_000;
      const asOf = Math.floor(second * 0.9995);
      expect(time.isOld(asOf)).toBe(false);
      time.note(asOf);
    }
  });
});
