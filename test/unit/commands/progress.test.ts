import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { Progress } from '../../../src/commands/progress.js';

test('one line, four times a second, taken away at the end', () => {
  let now = 1_000;
  const terminal = new PassThrough();
  const written = () => String(terminal.read() ?? '');
  const progress = new Progress(200, terminal, () => now);

  progress.clear();
  expect(written()).toBe('');
  progress.show(1, 50);
  expect(written()).toBe('\r\x1b[K1 lines, 25 %');
  now += 249;
  progress.show(2, 100);
  expect(written()).toBe('');
  now += 1;
  progress.show(3, 150);
  expect(written()).toBe('\r\x1b[K3 lines, 75 %');
  progress.clear();
  progress.clear();
  expect(written()).toBe('\r\x1b[K');
});

test('no share of what has no end', () => {
  const terminal = new PassThrough();
  new Progress(undefined, terminal).show(7, 50);
  expect(String(terminal.read())).toBe('\r\x1b[K7 lines');
});
