import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { allTags, problemsOf, promiseTables, tagsIn } from '../../support/security-table.js';

const document = readFileSync('docs/security.md', 'utf8');
const tags = allTags();

test('every requirement is proven, a deviation, or said not to be shown by a test', () => {
  expect(problemsOf(tags, document)).toEqual([]);
});

describe('told of', () => {
  const without = (source: string) => tags.filter(({ sources }) => !sources.includes(source));
  const extra = (text: string) => [...tags, ...tagsIn('test/e2e/x.test.ts', text)];

  test.each([
    ['a requirement that no test proves any more', without('GDPR 17'), /^GDPR 17 is neither/],
    ['a source that is in no list', extra('// Proves ASVS 99.1: x\ntest('), /ASVS 99\.1 is in no list/],
    ['a section that there is not', extra('// Proves ours (Passwort): x\ntest('), /ours \(Passwort\) is in no list/],
    ['a comment above nothing', extra('// Proves GDPR 17: x\nconst x = 1;'), /x\.test\.ts:1: there is no test/],
    ['other sources', extra('// Proves GDPR 17: y\ntest(\n// Proves GDPR 15: y\ntest('), /:3: .*:1 has other sources/],
    ['a deviation that is proven', extra('// Proves CIS Docker 4.2: x\ntest('), /^Deviations: CIS Docker 4\.2, but/],
    ['a part of which nothing is proven', without('ASVS 7.5.2'), /^Deviations: ASVS 7\.5\.2 in part, but/],
  ])('%s', (_, changed, problem) => {
    expect(problemsOf(changed, document)).toEqual([expect.stringMatching(problem)]);
  });

  test('a row that is in no list, or twice', () => {
    const changed = document.replace(/(## To come\n[^]*?\| --- .*\n)/, '$1| ASVS 99.1, CIS Docker 4.2 | x |\n');
    expect(problemsOf(tags, changed)).toEqual([
      'To come: ASVS 99.1 is in no list',
      'To come: CIS Docker 4.2 is there twice',
    ]);
  });
});

test('a promise is one row, with all of its tests', () => {
  const found = ['test/e2e/b.test.ts', 'test/unit/a.test.ts', '.ci/run'].flatMap((file) =>
    tagsIn(file, `  ${file === '.ci/run' ? '#' : '//'} Proves GDPR 17, ASVS 7.4.2: all | goes\ntest('x'`),
  );
  expect(promiseTables(found)).toBe(
    [
      '\n### K. Personal data\n',
      '| promise | source | test |',
      '| --- | --- | --- |',
      '| all \\| goes | GDPR 17, ASVS 7.4.2 | [`.ci/run`](../.ci/run), [`e2e/b`](../test/e2e/b.test.ts), [`unit/a`](../test/unit/a.test.ts) |\n\n',
    ].join('\n'),
  );
});
