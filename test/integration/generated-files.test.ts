import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { describeApi } from '../../src/api-docs.js';
import { createApp } from '../../src/app.setup.js';
import { loadConfig } from '../../src/config/load-config.js';
import { environmentExample, environmentTable } from '../support/describe-config.js';
import { thresholdTable } from '../support/describe-thresholds.js';
import { schemaScript } from '../support/schema-script.js';
import { promiseTables } from '../support/security-table.js';
import { VECTOR_FILES, vectorFile } from '../support/verifier-vectors/files.js';

// These files are made from the code. When one is stale the test fails; `npm run docs` writes them anew.

test('migrations/schema.sql', async () => {
  await expect(await schemaScript()).toMatchFileSnapshot('../../migrations/schema.sql');
});

test('.env.example', async () => {
  await expect(environmentExample()).toMatchFileSnapshot('../../.env.example');
});

test('the table of variables in README.md', async () => {
  const marked = /(<!-- variables -->\n)[^]*(<!-- end of variables -->)/;
  const readme = readFileSync('README.md', 'utf8');
  expect(readme).toMatch(marked);
  await expect(readme.replace(marked, `$1${environmentTable()}$2`)).toMatchFileSnapshot('../../README.md');
});

// Proves ASVS 6.1.1, ASVS 7.1.1: the limits are documented as they are
test('the limits and the promises of docs/security.md', async () => {
  const between = (name: string) => new RegExp(`(<!-- ${name} -->\\n)[^]*(<!-- end of ${name} -->)`);
  const text = readFileSync('docs/security.md', 'utf8');
  for (const name of ['limits', 'promises']) expect(text).toMatch(between(name));
  const generated = text
    .replace(between('limits'), (_, begin, end) => begin + thresholdTable() + end)
    .replace(between('promises'), (_, begin, end) => begin + promiseTables() + end);
  await expect(generated).toMatchFileSnapshot('../../docs/security.md');
});

test.each(VECTOR_FILES)('src/verifier/vectors/%s.json', async (name) => {
  await expect(await vectorFile(name)).toMatchFileSnapshot(`../../src/verifier/vectors/${name}.json`);
});

test('docs/openapi.json', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'gatehouse-openapi-'));
  const config = loadConfig({ NODE_ENV: 'test', DATA_DIR: dataDir, HASH_CONCURRENCY: '1', BCRYPT_COST: '4' });
  const app = await createApp(config, pino({ enabled: false }));
  const document = describeApi(app, { publicUrl: 'http://localhost:3000' });
  await app.close();
  rmSync(dataDir, { recursive: true });
  await expect(`${JSON.stringify(document, null, 2)}\n`).toMatchFileSnapshot('../../docs/openapi.json');
});
