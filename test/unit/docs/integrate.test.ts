import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { exampleNames } from '../../support/examples.js';

test('every example of docs/integrate.md is one that a test runs', () => {
  const tests = readdirSync('test/integrate').filter((file) => file.endsWith('.test.ts'));
  const text = tests.map((file) => readFileSync(`test/integrate/${file}`, 'utf8')).join('\n');
  const run = [...text.matchAll(/\bexample\(\s*'([\w.-]+)'/g)].map(([, name]) => name);
  expect(exampleNames().sort()).toEqual([...new Set(run)].sort());
});
