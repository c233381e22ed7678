// Measures how fast Gatehouse is, each figure beside a limit measured in the same run. See README.md beside this file.
import { readdirSync, writeFileSync } from 'node:fs';
import { Context } from './support/context.mjs';
import { failureRow, header, judge, rowOf, verdict } from './support/report.mjs';
import { settings } from './support/settings.mjs';

/** As they are printed: what every request costs first. */
const ORDER = ['check', 'open', 'me', 'introspect', 'verifier', 'login', 'storm', 'growth', 'boot'];
const folder = new URL('./scenarios/', import.meta.url);

const files = readdirSync(folder).filter((file) => file.endsWith('.mjs'));
const scenarios = await Promise.all(files.map((file) => import(new URL(file, folder))));
scenarios.sort((a, b) => ORDER.indexOf(a.name) - ORDER.indexOf(b.name));

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !scenarios.some((scenario) => scenario.name === name));
if (unknown.length > 0) {
  console.error(`There is no scenario ${unknown.join(', ')}: ${scenarios.map(({ name }) => name).join(', ')}.`);
  process.exit(2);
}

const report = { ...settings, measuredAt: new Date().toISOString(), figures: {}, failures: {} };
console.log(header(settings));
for (const { name, goal, run } of scenarios) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const context = new Context(name, settings);
  // Asked to stop: what was made, processes and databases, goes first.
  const interrupt = () => void context.close().finally(() => process.exit(130));
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    const rounds = await run(context);
    for (const figure of judge(name, goal, rounds)) {
      report.figures[figure.name] = figure;
      console.log(rowOf(figure));
    }
  } catch (error) {
    console.error(error);
    report.failures[name] = error.message;
    console.log(failureRow(name, error));
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
    await context.close();
  }
}
console.log(`\n${verdict(report)}`);
writeFileSync(new URL('./result.json', import.meta.url), `${JSON.stringify(report, null, 2)}\n`);
// A figure that was not reached is a result. A scenario that could not be measured is not.
process.exit(Object.keys(report.failures).length > 0 ? 1 : 0);
