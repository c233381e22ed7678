import { expect, test } from 'vitest';
import { areaUnderCurve, median } from '../../support/rank-statistic.js';

test.each<[string, number[], number[], number]>([
  ['the same values', [1, 2, 3], [1, 2, 3], 0.5],
  ['nothing but ties', [5, 5], [5, 5, 5], 0.5],
  ['all greater', [1, 2], [3, 4, 5], 1],
  ['all less', [3, 4, 5], [1, 2], 0],
  ['by hand: 3 of 4 pairs', [1, 3], [2, 4], 0.75],
  ['by hand: 2 pairs and a tie of 4', [1, 2], [2, 3], 0.875],
])('area under the curve: %s', (_, a, b, expected) => {
  expect(areaUnderCurve(a, b)).toBeCloseTo(expected, 10);
});

test('a shift of a quarter of the spread is seen in 1,000 values', () => {
  const values = Array.from({ length: 1000 }, (_, i) => (i * 7919) % 1000);
  const shifted = values.map((value) => value + 250);
  expect(areaUnderCurve(values, shifted)).toBeGreaterThan(0.7);
});

test('median', () => {
  expect(median([9, 1, 5])).toBe(5);
});
