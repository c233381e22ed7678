import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Turnstile } from '../../../src/common/turnstile.js';

/** The order in which they went through, each with its time. */
let through: { who: number; at: number }[];
const now = () => performance.now();

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate', 'performance'] });
  through = [];
});

afterEach(() => {
  vi.useRealTimers();
});

const crowd = (turnstile: Turnstile, count: number, from = 0) => {
  for (let who = from; who < from + count; who++) turnstile.enter(() => through.push({ who, at: now() }));
};
const order = () => through.map(({ who }) => who);
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);
const turnOfTheLoop = () => vi.advanceTimersByTime(0);

test('whoever comes alone goes through at the next turn of the event loop, not before', () => {
  const turnstile = new Turnstile(15);
  crowd(turnstile, 1);
  expect(order()).toEqual([]);
  turnOfTheLoop();
  expect(order()).toEqual([0]);
  vi.advanceTimersByTime(15);
  crowd(turnstile, 1, 1);
  turnOfTheLoop();
  expect(order()).toEqual([0, 1]);
});

describe('a crowd that comes at once', () => {
  test('goes through one by one at the pace, in its order', () => {
    crowd(new Turnstile(15), 30);
    vi.advanceTimersByTime(15 * 29 - 1);
    expect(order()).toEqual(upTo(29));
    vi.advanceTimersByTime(1);
    expect(order()).toEqual(upTo(30));
    expect(through.map(({ at }, i) => at - (through[i - 1]?.at ?? at - 15))).toEqual(upTo(30).map(() => 15));
  });

  test('is joined at its end', () => {
    const turnstile = new Turnstile(15);
    crowd(turnstile, 3);
    vi.advanceTimersByTime(15);
    crowd(turnstile, 2, 3);
    turnOfTheLoop();
    expect(order()).toEqual(upTo(2));
    vi.advanceTimersByTime(60);
    expect(order()).toEqual(upTo(5));
  });

  test('takes a turn of the loop each where the pace is shorter than a timer', () => {
    crowd(new Turnstile(0.5), 30);
    for (let turn = 0; turn < 30; turn++) {
      expect(order()).toEqual(upTo(turn));
      vi.advanceTimersToNextTimer();
    }
    expect(order()).toEqual(upTo(30));
  });

  test('goes on as soon as the one that was let in last has left, and not when another one does', () => {
    const turnstile = new Turnstile(100);
    const leaves: (() => void)[] = [];
    for (let who = 0; who < 5; who++) {
      turnstile.enter((leave) => {
        through.push({ who, at: now() });
        leaves.push(leave);
      });
    }
    turnOfTheLoop();
    leaves[0]?.();
    turnOfTheLoop();
    expect(order()).toEqual(upTo(2));
    vi.advanceTimersByTime(100);
    expect(order()).toEqual(upTo(3));
    leaves[1]?.();
    leaves[1]?.();
    vi.advanceTimersByTime(99);
    expect(order()).toEqual(upTo(3));
    vi.advanceTimersByTime(1);
    expect(order()).toEqual(upTo(4));
    leaves[3]?.();
    leaves[3]?.();
    turnOfTheLoop();
    expect(order()).toEqual(upTo(5));
    leaves[4]?.();
    crowd(turnstile, 1, 5);
    turnOfTheLoop();
    expect(order()).toEqual(upTo(6));
  });

  test('whose every one leaves at once takes no time', () => {
    const turnstile = new Turnstile(100);
    for (let who = 0; who < 9; who++) {
      turnstile.enter((leave) => {
        through.push({ who, at: now() });
        leave();
      });
    }
    vi.advanceTimersByTime(99);
    expect(order()).toEqual(upTo(9));
  });

  test('that would take more than a second does not wait until it is no longer', () => {
    crowd(new Turnstile(100), 25);
    for (let turn = 0; turn < 15; turn++) vi.advanceTimersToNextTimer();
    expect(order()).toEqual(upTo(15));
    const lastAt = through.at(-1)?.at as number;
    expect(lastAt - (through[0]?.at as number)).toBeLessThan(100);
    vi.advanceTimersToNextTimer();
    expect(order()).toEqual(upTo(16));
    expect(now()).toBeGreaterThanOrEqual(lastAt + 100);
    vi.advanceTimersByTime(900);
    expect(order()).toEqual(upTo(25));
  });
});
