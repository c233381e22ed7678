import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { describeApi } from '../../src/api-docs.js';
import { Config } from '../../src/config/config.js';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';
import { makeService, type Service } from '../support/service-client.js';

/** What is used here of newman's run summary; the package has no types. */
interface Execution {
  item: { name: string };
  request: { method: string; url: { getPath(): string }; body?: { raw?: string } };
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

/** What the two kinds of server leave out, because there is no such mail. */
const LEFT_OUT = { none: ['Read the mail of the sign-up', 'Use the older link'], required: [] };

describe.each(['none', 'required'] as const)('with EMAIL_VERIFICATION=%s', (emailVerification) => {
  let gatehouse: Gatehouse;
  let summary: Summary;
  const dataDir = mkdtempSync(join(tmpdir(), 'gatehouse-postman-'));

  beforeAll(async () => {
    // As `npm start` runs: mails are written to files, and the development outbox shows them.
    gatehouse = await startGatehouse({
      NODE_ENV: 'development',
      DATA_DIR: dataDir,
      SMTP_URL: '',
      EMAIL_VERIFICATION: emailVerification,
    });
    const output = vi.spyOn(process.stdout, 'write').mockReturnValue(true); // a line per mail
    const running = new AbortController();
    const mails = sendMails(gatehouse, running.signal);
    // Once without a client of its own, once with one.
    const service = emailVerification === 'required' ? await makeService(gatehouse) : undefined;
    summary = await run(gatehouse.origin, service).finally(() => running.abort());
    await mails.finally(() => output.mockRestore());
    // So that stopping the instance also looks for these secrets in its log and in its errors.
    for (const { request, response } of summary.run.executions) {
      for (const body of [request.body?.raw, response?.text()]) addSecrets(body ?? '', gatehouse.secrets);
      if (response && response.code >= 400) gatehouse.errorBodies.push(response.text());
    }
    for (const { key, value } of summary.environment.values.all()) {
      if (/password|token/.test(key) && typeof value === 'string' && value !== '') gatehouse.secrets.add(value);
    }
  });
  afterAll(async () => {
    await gatehouse.stop();
    rmSync(dataDir, { recursive: true });
  });

  test('the whole collection passes', () => {
    const failures = summary.run.failures.map(
      ({ source, error }) => `${source?.name}: ${error.test ?? 'script'}: ${error.message}`,
    );
    expect(failures).toEqual([]);
    const { values } = summary.environment;
    expect(values.all().find(({ key }) => key === 'email_verification')?.value).toBe(emailVerification);
  });

  test('every request was sent, and was checked by a test of its own', () => {
    const unchecked = requests.filter(({ name }) => {
      const executions = summary.run.executions.filter(({ item }) => item.name === name);
      const own = executions.flatMap(({ response, assertions = [] }) => (response ? assertions : []));
      return !own.some(({ assertion }) => !assertion.startsWith('every '));
    });
    expect(unchecked.map(({ name }) => name)).toEqual(LEFT_OUT[emailVerification]);
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
    const ids = Object.values(paths).flatMap(({ get, post, put, delete: end }) =>
      [get, post, put, end].flatMap((operation) => operation?.operationId ?? []),
    );
    expect(new Set(ids).size, `operation ids are unique: ${ids.join(' ')}`).toBe(operations.length);
  });
});

function run(origin: string, service?: Service): Promise<Summary> {
  return new Promise((resolve, reject) => {
    newman.run(
      {
        collection,
        environment: read('environment'),
        envVar: [
          { key: 'base_url', value: origin },
          ...(service
            ? [
                { key: 'client_id', value: service.id },
                { key: 'client_secret', value: service.secret },
              ]
            : []),
        ],
        reporters: [],
        timeoutRequest: 20_000,
        color: 'off',
      },
      (error, result) => (error ? reject(error) : resolve(result)),
    );
  });
}

/** The workers send by themselves; this has the run wait less for them. */
async function sendMails(gatehouse: Gatehouse, running: AbortSignal): Promise<void> {
  while (!running.aborted) {
    await gatehouse.sendMails();
    await sleep(100);
  }
}

/** Every password and token that stands in a JSON body. */
function addSecrets(body: string, secrets: Set<string>): void {
  for (const [, value = ''] of body.matchAll(/"(?:\w+_)?(?:password|token)": ?"([^"]{15,})"/g)) secrets.add(value);
}

test('every request has a name of its own and a description', () => {
  expect(new Set(requests.map(({ name }) => name)).size).toBe(requests.length);
  expect(requests.filter(({ request }) => !request?.description).map(({ name }) => name)).toEqual([]);
});

test('nothing in the files is a secret or somewhere else', () => {
  const { values } = read('environment') as { values: { key: string; value: string }[] };
  const filled = values.filter(({ value }) => value !== '');
  expect(filled.map(({ key, value }) => `${key}=${value}`)).toEqual([
    'base_url=http://localhost:3000',
    'mail_url={{base_url}}/dev/mail',
  ]);
});
