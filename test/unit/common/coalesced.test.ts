import { expect, test } from 'vitest';
import { Coalesced } from '../../../src/common/coalesced.js';

/** Something that takes a few ticks, and numbers its runs. */
function work() {
  const seen = { begun: 0, running: 0, most: 0 };
  const run = new Coalesced(async () => {
    const number = ++seen.begun;
    seen.most = Math.max(seen.most, ++seen.running);
    for (let tick = 0; tick < 3; tick++) await Promise.resolve();
    seen.running -= 1;
    return number;
  });
  return { seen, run };
}

test('who asks while it runs shares the next run, and that is one', async () => {
  const { seen, run } = work();
  const asked = [run.run(), run.run(), run.run()];
  expect(await Promise.all(asked)).toEqual([1, 2, 2]);
  expect(seen.begun).toBe(2);
});

test('it runs one at a time, whenever somebody asks', async () => {
  const { seen, run } = work();
  const asked: Promise<number>[] = [];
  for (let tick = 0; tick < 100; tick++) {
    const before = seen.begun;
    const answer = run.run();
    asked.push(answer.then((number) => number - before));
    await Promise.resolve();
  }
  expect(Math.min(...(await Promise.all(asked))), 'a run that began after the question').toBeGreaterThanOrEqual(1);
  expect(seen.most).toBe(1);
});

test('a run that fails fails those who asked for it, and no others', async () => {
  let runs = 0;
  const failing = new Coalesced(async () => {
    if (++runs === 1) throw new Error('the first one');
    return runs;
  });
  const asked = [failing.run(), failing.run()];
  expect(await Promise.allSettled(asked)).toMatchObject([{ status: 'rejected' }, { status: 'fulfilled', value: 2 }]);
});
