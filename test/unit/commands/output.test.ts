import { expect, test } from 'vitest';
import { fieldLines, jsonLine, printable } from '../../../src/commands/output.js';

// Proves ASVS 16.4.1: nothing that a client sends makes a line of its own
test('nothing that steers a terminal is printed', () => {
  expect(printable('a\x1b[2Jb\x9bc\u202ed\u2028e\nf')).toBe('a\ufffd[2Jb\ufffdc\ufffdd\ufffde\ufffdf');
  expect(printable('Jürgen <a@b.example> 日本 🙂')).toBe('Jürgen <a@b.example> 日本 🙂');
});

test('JSON stays what it was, with what cannot be seen escaped', () => {
  const value = { agent: 'a\x1b[2Jb\x9bc\u202ed\u2028e\nf\u{e0041}g 🙂' };
  const line = jsonLine(value);
  expect(JSON.parse(line)).toEqual(value);
  expect(line).not.toMatch(/[\p{C}\u2028]/u);
  expect(line).toContain('🙂');
});

test('the values stand below each other', () => {
  const at = new Date('2026-01-02T03:04:05Z');
  expect(
    fieldLines({ id: 'x', created_at: at, verified: true, locked: false, count: 0, gone: null, email: '' }),
  ).toEqual([
    'id          x',
    'created_at  2026-01-02T03:04:05.000Z',
    'verified    yes',
    'locked      no',
    'count       0',
    'gone        -',
    'email       -',
  ]);
});
