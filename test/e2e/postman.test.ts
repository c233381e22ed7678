import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeApi } from '../../src/app.setup.js';
import { Config } from '../../src/config/config.js';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';

/** What is used here of newman's run summary; the package has no types. */
interface Execution {
  item: { name: string };
  request: { method: string; url: { getPath(): string } };
  response?: { code: number; text(): string };
  assertions?: { assertion: string; error?: { message: string } }[];
}
interface Summary {
  run: {
    executions: Execution[];
    failures: { error: { test?: string; message: string }; source?: { name: string } }[];
  };
  environment: { values: { all(): { key: string; value: unknown }[] } };
}
interface Newman {
  run(options: object, done: (error: Error | null, summary: Summary) => void): void;
}
interface Item {
  name: string;
  description?: string;
  item?: Item[];
  request?: { description?: string };
  event?: { listen: string }[];
}

const newman = createRequire(import.meta.url)('newman') as Newman;
const read = (name: string) => JSON.parse(readFileSync(`postman/Gatehouse.postman_${name}.json`, 'utf8'));
const collection = read('collection') as { item: Item[] };
const requests = collection.item.flatMap(function leaves(item: Item): Item[] {
  return item.item ? item.item.flatMap(leaves) : [item];
});

let gatehouse: Gatehouse;
let summary: Summary;
beforeAll(async () => {
  gatehouse = await startGatehouse();
  summary = await run(gatehouse.origin);
  // So that stopping the instance also looks for these secrets in its log and in its errors.
  for (const { key, value } of summary.environment.values.all()) {
    if (/password|token/.test(key) && typeof value === 'string' && value !== '') gatehouse.secrets.add(value);
  }
  for (const { response } of summary.run.executions) {
    if (response && response.code >= 400) gatehouse.errorBodies.push(response.text());
  }
});
afterAll(() => gatehouse.stop());

function run(origin: string): Promise<Summary> {
  return new Promise((resolve, reject) => {
    newman.run(
      {
        collection,
        environment: read('environment'),
        envVar: [{ key: 'base_url', value: origin }],
        reporters: [],
        timeoutRequest: 20_000,
        color: 'off',
      },
      (error, result) => (error ? reject(error) : resolve(result)),
    );
  });
}

test('the whole collection passes', () => {
  const failures = summary.run.failures.map(
    ({ source, error }) => `${source?.name}: ${error.test ?? 'script'}: ${error.message}`,
  );
  expect(failures).toEqual([]);
});

test('every request has a description, was sent, and was checked by a test of its own', () => {
  expect(new Set(requests.map(({ name }) => name)).size, 'names are unique').toBe(requests.length);
  expect(requests.filter(({ request }) => !request?.description).map(({ name }) => name)).toEqual([]);
  const unchecked = requests.filter(({ name }) => {
    const execution = summary.run.executions.find(({ item }) => item.name === name);
    const own = execution?.assertions?.filter(({ assertion }) => !assertion.startsWith('every '));
    return !execution?.response || !own?.length;
  });
  expect(unchecked.map(({ name }) => name)).toEqual([]);
});

test('the collection touches every operation of the OpenAPI document', () => {
  const sent = summary.run.executions.map(({ request }) => `${request.method} ${request.url.getPath()}`);
  const { paths } = describeApi(gatehouse.app, gatehouse.app.get(Config));
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(operations).toContain('POST /auth/logout');
  const untouched = operations.filter((operation) => {
    const pattern = operation.replace(/[.]/g, '\\.').replace(/\{[^}]+\}/g, '[^/]+');
    return !sent.some((request) => new RegExp(`^${pattern}$`).test(request));
  });
  expect(untouched).toEqual([]);
  const ids = Object.values(paths).flatMap(({ get, post, delete: end }) =>
    [get, post, end].flatMap((operation) => operation?.operationId ?? []),
  );
  expect(new Set(ids).size, `operation ids are unique: ${ids.join(' ')}`).toBe(operations.length);
});

test('nothing in the files is a secret or somewhere else', () => {
  const { values } = read('environment') as { values: { key: string; value: string }[] };
  const filled = values.filter(({ value }) => value !== '');
  expect(filled.map(({ key, value }) => `${key}=${value}`)).toEqual(['base_url=http://localhost:3000']);
});
