import { InvalidArgumentError } from 'commander';
import { expect, test } from 'vitest';
import { monthsBefore, parseInstant } from '../../../src/commands/instant.js';

test('a date is its first moment in UTC, a date and time has an offset', () => {
  const cases = {
    '2026-05-01': '2026-05-01T00:00:00.000Z',
    '2024-02-29': '2024-02-29T00:00:00.000Z',
    '2026-05-01T09:30Z': '2026-05-01T09:30:00.000Z',
    '2026-05-01T09:30:15Z': '2026-05-01T09:30:15.000Z',
    '2026-05-01T09:30:15.5+02:00': '2026-05-01T07:30:15.500Z',
  };
  for (const [text, instant] of Object.entries(cases)) expect(parseInstant(text).toISOString(), text).toBe(instant);
});

test('nothing else is an instant', () => {
  const wrong = ['', 'yesterday', '2026', '2026-05', '2026-5-1', '2026-02-29', '2026-04-31T00:00Z', '2026-13-01', '01.05.2026',
    '2026-05-01T09:30', '2026-05-01 09:30Z', '2026-05-01T25:00Z', '2026-05-01T24:01Z', '1777593600', ' 2026-05-01', '+002026-05-01']; // prettier-ignore
  for (const text of wrong) expect(() => parseInstant(text), text).toThrow(InvalidArgumentError);
});

test('months before, to the same day or the last one there is', () => {
  const before = (text: string, months: number) => monthsBefore(new Date(text), months).toISOString();
  expect(before('2026-11-22T10:00:00Z', 12)).toBe('2025-11-22T10:00:00.000Z');
  expect(before('2024-02-29T10:00:00Z', 12)).toBe('2023-02-28T10:00:00.000Z');
  expect(before('2026-03-31T00:00:00Z', 1)).toBe('2026-02-28T00:00:00.000Z');
  expect(before('2026-01-15T00:00:00Z', 12)).toBe('2025-01-15T00:00:00.000Z');
});
