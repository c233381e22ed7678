/**
 * How often a value of `b` is greater than one of `a`, ties counted half: the area under the ROC curve (AUC), which is
 * Mann and Whitney's U over the number of pairs. 0.5 when nothing tells the two apart, 1 when all of `b` are greater.
 *
 * @throws RangeError when there is nothing to compare.
 */
export function areaUnderCurve(a: readonly number[], b: readonly number[]): number {
  if (a.length === 0 || b.length === 0) throw new RangeError('no values');
  const all = [...a.map((value) => ({ value, isB: false })), ...b.map((value) => ({ value, isB: true }))];
  all.sort((x, y) => x.value - y.value);
  let rankSumOfB = 0;
  for (let from = 0, to = 0; from < all.length; from = to) {
    while (to < all.length && all[to]?.value === all[from]?.value) to++;
    const rank = (from + 1 + to) / 2; // the mean of the ranks of equal values
    for (let i = from; i < to; i++) if (all[i]?.isB) rankSumOfB += rank;
  }
  return (rankSumOfB - (b.length * (b.length + 1)) / 2) / (a.length * b.length);
}

/** The standard deviation of that area for two samples of `n` values each when both are of one distribution without ties. */
export function deviationByChance(n: number): number {
  return Math.sqrt((2 * n + 1) / 12) / n;
}

/** The upper one where there are two. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('no values');
  return [...values].sort((x, y) => x - y)[values.length >> 1] as number;
}
