// From rounds to figures, and how they are shown.

/** A ratio or an amount that is to be at least so much. */
export const atLeast = (value) => ({ text: `≥ ${value}`, isReached: (measured) => measured >= value });

/** One that is to be at most so much. */
export const atMost = (value, unit = '') => ({
  text: `≤ ${value}${unit && ` ${unit}`}`,
  isReached: (measured) => measured <= value,
});

/** Reported, not judged. */
export const diagnostic = { text: '–', isReached: () => true };

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The figures of a scenario: the goal says which numbers of a round are figures, the others explain them. */
export function judge(scenario, goal, rounds) {
  const keys = Object.keys(goal);
  return keys.map((key) => {
    const values = rounds.map((round) => round[key]).filter((value) => value !== undefined);
    const measured = median(values);
    if (!Number.isFinite(measured)) throw new Error(`${scenario} measured no ${key}`);
    return {
      name: keys.length === 1 ? scenario : `${scenario} ${key}`,
      median: rounded(measured),
      goal: goal[key].text,
      isReached: goal[key].isReached(measured),
      // Of several figures each row shows what belongs to its own.
      rounds: rounds.map((round) => detailsOf(round, key, keys)).filter((details) => details[key] !== undefined),
    };
  });
}

export function header({ database, cores, cpu, node, load, seconds, rounds }) {
  return [
    `${database}, Node ${node}, ${cores} × ${cpu}, ${load}, ${rounds} × ${seconds} s\n`,
    `| scenario | median of ${rounds} | to reach | each round |`,
    '| --- | --- | --- | --- |',
  ].join('\n');
}

export function rowOf({ name, median, goal, isReached, rounds }) {
  const each = rounds.map((round) =>
    JSON.stringify(round)
      .replaceAll('"', '')
      .replace(/([:,])/g, '$1 '),
  );
  return `| ${name} | ${median}${isReached ? '' : ' (not reached)'} | ${goal} | ${each.join('<br>')} |`;
}

export function failureRow(name, { message }) {
  return `| ${name} | **could not be measured** | | ${message.replaceAll('|', '/').split('\n')[0]} |`;
}

export function verdict({ figures, failures }) {
  const missed = Object.values(figures).filter(({ isReached }) => !isReached);
  const unmeasured = Object.keys(failures);
  return [
    missed.length === 0
      ? 'Every figure that was measured was reached.'
      : `Not reached: ${missed.map(({ name, median, goal }) => `${name} (${median}, ${goal})`).join('; ')}.`,
    ...(unmeasured.length > 0 ? [`Could not be measured: ${unmeasured.join(', ')}.`] : []),
  ].join('\n');
}

function detailsOf(round, key, keys) {
  const mine = ([name]) => name === key || (!keys.includes(name) && (keys.length === 1 || name.startsWith(`${key}_`)));
  const entries = Object.entries(round).filter(mine);
  return Object.fromEntries(entries.map(([name, value]) => [name, rounded(value)]));
}

/** Three digits that mean something: there are no more. */
function rounded(value) {
  if (typeof value !== 'number') return value;
  return value >= 100 ? Math.round(value) : Number(value.toPrecision(3));
}
