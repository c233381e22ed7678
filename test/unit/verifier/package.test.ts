import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { FeedStub } from '../../support/feed-stub.js';

const BUILT = 'dist/verifier';
const readJson = (path: string) => JSON.parse(readFileSync(path, 'utf8'));

/** A folder of somebody who has installed the tarball: outside of the repository, whose node_modules it must not see. */
let folder: string;
let packed: string[];

beforeAll(() => {
  // Built by `npm test`; whoever runs vitest alone builds first.
  const isBuilt = existsSync(`${BUILT}/package.json`) && existsSync(`${BUILT}/verifier.js`);
  if (!isBuilt) throw new Error('npm run build has not been run');
  folder = mkdtempSync(join(tmpdir(), 'gatehouse-verifier-'));
  const pack = ['pack', `./${BUILT}`, '--json', '--pack-destination', folder];
  const [{ filename, files }] = JSON.parse(
    execFileSync('npm', pack, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
  );
  packed = files.map(({ path }: { path: string }) => path);
  const modules = join(folder, 'node_modules');
  mkdirSync(modules);
  execFileSync('tar', ['-xzf', join(folder, filename), '-C', modules]);
  execFileSync('mv', [join(modules, 'package'), join(modules, 'gatehouse-verifier')]);
  cpSync('node_modules/jose', join(modules, 'jose'), { recursive: true });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function startStub(): Promise<FeedStub> {
  const stub = await FeedStub.start();
  stub.now = Date.now();
  onTestFinished(() => stub.close());
  return stub;
}

/** Runs a program beside the unpacked package; what it printed, when it has ended by itself. */
async function run(stub: FeedStub, program: string, name = 'program.mjs'): Promise<string> {
  writeFileSync(join(folder, name), program);
  const env = {
    PATH: process.env['PATH'],
    TOKEN: await stub.token(),
    OPTIONS: JSON.stringify({ issuer: stub.url, audience: 'api', ...stub.id }),
  };
  const child = spawn(process.execPath, [name], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
  const limit = setTimeout(() => child.kill('SIGKILL'), 20_000);
  const ending = await new Promise((resolve) => child.once('close', (code, signal) => resolve(signal ?? code)));
  clearTimeout(limit);
  expect(`${String(ending)} ${Buffer.concat(errors).toString()}`).toMatch(/^0 (\(node:\d+\) ExperimentalWarning|$)/);
  return Buffer.concat(output).toString().trim();
}

test('the tarball has the sources, the types, the vectors and a README, and depends on jose alone', () => {
  const manifest = readJson(join(folder, 'node_modules/gatehouse-verifier/package.json'));
  const own = readJson('package.json');
  expect(manifest).toEqual(readJson('src/verifier/package.json'));
  expect(manifest).toMatchObject({ version: own.version, engines: { node: '>=20' } });
  expect(manifest.dependencies).toEqual({ jose: own.dependencies.jose });
  const sources = readdirSync('src/verifier').filter((name) => name.endsWith('.ts'));
  const expected = [
    ...sources.flatMap((name) => [name.replace(/ts$/, 'js'), name.replace(/ts$/, 'd.ts')]),
    ...readdirSync('src/verifier/vectors').map((name) => `vectors/${name}`),
    'package.json',
    'README.md',
  ];
  expect(packed.sort()).toEqual(expected.sort());
});

test('works in a plain process with only jose beside it, which it does not keep alive', async () => {
  const stub = await startStub();
  // Slow, so that nothing but ready() is left to keep the process alive.
  stub.intercept = () => new Promise((resolve) => setTimeout(() => resolve(false), 50));
  const program = `
    import { createVerifier } from 'gatehouse-verifier';
    import { expressAuth } from 'gatehouse-verifier/express';
    import { fastifyAuth } from 'gatehouse-verifier/fastify';
    import { createGuard } from 'gatehouse-verifier/nest';
    import tokens from 'gatehouse-verifier/vectors/tokens.json' with { type: 'json' };
    const verifier = createVerifier(JSON.parse(process.env.OPTIONS));
    await verifier.ready();
    const { ok, claims } = await verifier.verify(process.env.TOKEN);
    const adapters = [expressAuth, fastifyAuth, createGuard].map((adapter) => typeof adapter);
    console.log(JSON.stringify({ ok, sub: claims.sub, adapters, hasVectors: tokens.vectors.length > 0 }));
  `;
  const printed = JSON.parse(await run(stub, program));
  expect(printed).toEqual({
    ok: true,
    sub: 'user-1',
    adapters: ['function', 'function', 'function'],
    hasVectors: true,
  });
  expect(readdirSync(join(folder, 'node_modules')).sort()).toEqual(['gatehouse-verifier', 'jose']);
});

test('close leaves no connection, and no timer, with a fetch that was given neither', async () => {
  const stub = await startStub();
  let left: Promise<number> | undefined;
  stub.intercept = (request, response) => {
    if (request.url !== '/left') return false;
    left = stub.connections;
    return Boolean(response.end());
  };
  for (const fetch of ['undefined', 'globalThis.fetch']) {
    const program = `
      import { request } from 'node:http';
      import { createVerifier } from 'gatehouse-verifier';
      const verifier = createVerifier({ ...JSON.parse(process.env.OPTIONS), fetch: ${fetch} });
      await verifier.ready();
      await verifier.verify(process.env.TOKEN);
      await verifier.close();
      await new Promise((resolve) => setTimeout(resolve, 100));
      console.log(JSON.stringify(process.getActiveResourcesInfo().filter((name) => /Timeout|Immediate/.test(name))));
      const { issuer } = JSON.parse(process.env.OPTIONS);
      await new Promise((resolve) => request(issuer + '/left', { agent: false }, resolve).end());
    `;
    expect(await run(stub, program)).toBe('[]');
    // The one that asks; and what a fetch that was given keeps for later, which is not ours to close.
    if (fetch === 'undefined') expect(await left).toBe(1);
  }
});

test('may be required', async () => {
  const stub = await startStub();
  const program = `
    const { createVerifier } = require('gatehouse-verifier');
    const verifier = createVerifier(JSON.parse(process.env.OPTIONS));
    verifier.ready().then(async () => {
      console.log((await verifier.verify(process.env.TOKEN)).ok);
      await verifier.close();
    });
  `;
  expect(await run(stub, program, 'program.cjs')).toBe('true');
});

test('its README shows options that exist', () => {
  const readme = readFileSync('src/verifier/README.md', 'utf8');
  const types = readFileSync('src/verifier/options.ts', 'utf8') + readFileSync('src/verifier/bearer.ts', 'utf8');
  for (const name of ['maxStalenessMs', 'onStale', 'catchUpMs', 'onEvent', 'onRefused', 'clientId', 'clientSecret']) {
    expect(readme).toContain(name);
    expect(types).toMatch(new RegExp(`^  ${name}\\??:`, 'm'));
  }
});
