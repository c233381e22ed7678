import { describe, expect, test } from 'vitest';
import { areaUnderCurve, deviationByChance, median } from '../../support/rank-statistic.js';

/** Evenly spread over 0 to 1. */
const spread = (n: number) => Array.from({ length: n }, (_, i) => (i + 0.5) / n);

/** Marsaglia's xorshift, so that a run is like every other. @returns values from 0 to 1. */
function pseudoRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

describe('area under the curve', () => {
  test.each<[string, number[], number[], number]>([
    ['the same values', [1, 2, 3], [1, 2, 3], 0.5],
    ['nothing but ties', [5, 5], [5, 5, 5], 0.5],
    ['all greater', [1, 2], [3, 4, 5], 1],
    ['all less', [3, 4, 5], [1, 2], 0],
    ['3 of 4 pairs', [1, 3], [2, 4], 0.75],
    ['3 pairs of 4 and a tie', [1, 2], [2, 3], 0.875],
    ['in any order', [2, 1], [3, 2], 0.875],
  ])('%s', (_, a, b, expected) => {
    expect(areaUnderCurve(a, b)).toBeCloseTo(expected, 10);
    expect(areaUnderCurve(b, a)).toBeCloseTo(1 - expected, 10);
  });

  test('a shift by 5 % of the spread is far beyond chance in 1,000 values, and not in 300', () => {
    const areaOf = (n: number) =>
      areaUnderCurve(
        spread(n),
        spread(n).map((value) => value + 0.05),
      );
    expect(areaOf(1_000)).toBeCloseTo(1 - 0.95 ** 2 / 2, 3);
    expect((areaOf(1_000) - 0.5) / deviationByChance(1_000)).toBeGreaterThan(3.5);
    expect((areaOf(300) - 0.5) / deviationByChance(300)).toBeLessThan(2.5);
  });

  test('by chance it strays as far from one half as it should', () => {
    const random = pseudoRandom(20_261_122);
    const sample = () => Array.from({ length: 300 }, random);
    const areas = Array.from({ length: 500 }, () => areaUnderCurve(sample(), sample()));
    const mean = areas.reduce((sum, area) => sum + area, 0) / areas.length;
    const variance = areas.reduce((sum, area) => sum + (area - mean) ** 2, 0) / areas.length;
    expect(deviationByChance(300)).toBeCloseTo(0.0236, 4);
    expect(mean).toBeCloseTo(0.5, 2);
    expect(Math.sqrt(variance) / deviationByChance(300)).toBeCloseTo(1, 1);
  });

  test('nothing to compare is no result', () => {
    expect(() => areaUnderCurve([], [1])).toThrow(RangeError);
    expect(() => areaUnderCurve([1], [])).toThrow(RangeError);
  });
});

test('median', () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([4, 3, 2, 1])).toBe(3);
  expect(() => median([])).toThrow(RangeError);
});
