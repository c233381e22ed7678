/**
 * The probability that a value of `b` is greater than one of `a`, ties counted half: the area under the ROC curve, which is
 * the Mann-Whitney statistic divided by the number of pairs. 0.5 when nothing tells the two apart.
 */
export function areaUnderCurve(a: readonly number[], b: readonly number[]): number {
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

export function median(values: readonly number[]): number {
  return [...values].sort((x, y) => x - y)[values.length >> 1] as number;
}
