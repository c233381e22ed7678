import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { Progress } from '../../../src/commands/progress.js';

test('one line, four times a second, taken away at the end', () => {
  let now = 1_000;
  const terminal = new PassThrough();
  const written = () => String(terminal.read() ?? '');
  const progress = new Progress('lines', 200, terminal, () => now);

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
  new Progress('lines', undefined, terminal).show(7, 50);
  expect(String(terminal.read())).toBe('\r\x1b[K7 lines');
});

test('what is counted may be the measure itself, and never comes to more than all', () => {
  const terminal = new PassThrough();
  new Progress('events', 40, terminal).show(10);
  new Progress('events', 40, terminal).show(41);
  expect(String(terminal.read())).toBe('\r\x1b[K10 events, 25 %\r\x1b[K41 events, 100 %');
});
