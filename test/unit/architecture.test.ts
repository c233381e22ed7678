import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { expect, test } from 'vitest';

const SOURCE = resolve('src');

/** Who may import whom. A file directly in src/ wires things together and may import everything. */
const ALLOWED: Record<string, string[]> = {
  commands: ['auth', 'users', 'mail', 'audit', 'oauth', 'tokens', 'verifier', 'database', 'common', 'config'],
  oauth: ['auth', 'tokens', 'limits', 'audit', 'metrics', 'database', 'common', 'config'],
  auth: ['users', 'tokens', 'mail', 'limits', 'audit', 'metrics', 'database', 'common', 'config'],
  users: ['database', 'common', 'config'],
  tokens: ['audit', 'metrics', 'database', 'common', 'config'],
  mail: ['metrics', 'database', 'common', 'config'],
  limits: ['audit', 'metrics', 'database', 'common', 'config'],
  audit: ['metrics', 'database', 'common', 'config'],
  metrics: ['common', 'config'],
  pages: ['common', 'config'],
  database: ['metrics', 'common', 'config'],
  verifier: [],
  common: [],
  config: ['common'],
};

const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((file) => /\.(ts|js)$/.test(file));
const imports = new Map(files.map((file) => [file, importsOf(file)]));

function importsOf(file: string): string[] {
  const text = readFileSync(join(SOURCE, file), 'utf8');
  return [...text.matchAll(/from '(\.[^']+)'/g)]
    .map(([, path]) => relative(SOURCE, resolve(SOURCE, dirname(file), path as string)).replace(/\.js$/, '.ts'))
    .filter((path) => !path.startsWith('..'));
}

const folderOf = (file: string) => (file.includes('/') ? (file.split('/')[0] as string) : undefined);

test('folders import only what they may', () => {
  const wrong: string[] = [];
  for (const [file, targets] of imports) {
    const from = folderOf(file);
    if (from === undefined) continue;
    for (const target of targets) {
      const to = folderOf(target);
      if (to !== from && !(to && ALLOWED[from]?.includes(to))) wrong.push(`${file} → ${target}`);
    }
  }
  expect(wrong).toEqual([]);
});

test('every folder has a rule', () => {
  expect([...new Set(files.map(folderOf))].filter((folder) => folder && !(folder in ALLOWED))).toEqual([]);
});

test('no cycle of files', () => {
  const done = new Set<string>();
  const visit = (file: string, path: string[]): void => {
    expect(path, 'a cycle').not.toContain(file);
    if (done.has(file)) return;
    for (const next of imports.get(file) ?? []) visit(next, [...path, file]);
    done.add(file);
  };
  for (const file of files) visit(file, []);
});

test('no barrels, no forwardRef, no synchronize', () => {
  const text = (file: string) => readFileSync(join(SOURCE, file), 'utf8');
  expect(files.filter((file) => /(^|\/)index\.ts$/.test(file) || /^export \* from/m.test(text(file)))).toEqual([]);
  expect(files.filter((file) => /forwardRef\(|synchronize: true|migrationsRun: true/.test(text(file)))).toEqual([]);
});

/** What a server has no use for until somebody asks, and what class-validator has for everybody. A quarter of a start, once. */
const LATER = ['@nestjs/swagger', 'class-validator', 'commander', 'jose', 'nodemailer', 'pino-pretty'];

test('a start loads nothing that is needed later or never', () => {
  const loaded = new Set<string>();
  const visit = (file: string) => {
    if (loaded.has(file)) return;
    loaded.add(file);
    imports.get(file)?.forEach(visit);
  };
  visit('server.ts');
  expect(loaded.size).toBeGreaterThan(100);
  const early = [...loaded].flatMap((file) =>
    [...readFileSync(join(SOURCE, file), 'utf8').matchAll(/^(?:import|export) (?!type )[^;]*?from '([^.][^']*)';$/gm)]
      .map(([, name]) => name as string)
      .filter((name) => LATER.some((later) => name === later || name.startsWith(`${later}/`)))
      .map((name) => `${file} → ${name}`),
  );
  expect(early).toEqual([]);
});
