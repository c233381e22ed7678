import { validateSync } from 'class-validator';
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { Config, MASTER_KEY_BYTES } from './config.js';

export type Environment = Record<string, string | undefined>;

/** Variables that are also read from the file that `NAME_FILE` names. */
export const SECRETS: readonly (keyof Config)[] = ['databaseUrl', 'masterKey'];

/** Every reason why the configuration is refused, at once. Names and rules only: never a value. */
export class InvalidConfig extends Error {
  constructor(readonly problems: string[]) {
    super(`The configuration is refused:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`);
    this.name = 'InvalidConfig';
  }
}

/** `databaseUrl` → `DATABASE_URL`. */
export function variableOf(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

/** The fields that come from the environment, in the order in which the class declares them. */
export function configFields(): (keyof Config)[] {
  return Object.keys(new Config()) as (keyof Config)[];
}

/**
 * Environment → validated configuration.
 *
 * @param needsMasterKey false for commands that must do without it: a migration job should not hold it.
 * @throws InvalidConfig with all problems.
 */
export function loadConfig(env: Environment, { needsMasterKey = true } = {}): Config {
  const config = new Config();
  const problems: string[] = [];
  const given = new Set<string>();
  for (const field of configFields()) {
    const text = readVariable(env, field, problems);
    if (text === undefined || text === '') continue;
    given.add(field);
    const isNumber = typeof config[field] === 'number';
    Object.assign(config, { [field]: isNumber ? (/^-?\d+$/.test(text) ? Number(text) : NaN) : text });
  }
  config.publicUrl ||= `http://localhost:${config.port}`;
  config.issuer ||= config.publicUrl;
  config.audience ||= config.issuer;
  if (config.isProduction && !given.has('docs')) config.docs = 'off';

  const groups = { groups: [config.nodeEnv], always: true };
  for (const { property, constraints = {} } of validateSync(config, groups)) {
    if (property === 'masterKey' && config.masterKey === '' && !needsMasterKey) continue;
    for (const rule of Object.values(constraints)) {
      problems.push(`${variableOf(property)} ${rule.replace(new RegExp(`^${property} `), '')}`);
    }
  }
  if (config.sessionIdleSeconds > config.sessionAbsoluteSeconds) {
    if (given.has('sessionIdleSeconds')) {
      problems.push('SESSION_IDLE_SECONDS must not be greater than SESSION_ABSOLUTE_SECONDS');
    } else config.sessionIdleSeconds = config.sessionAbsoluteSeconds;
  }
  if (problems.length > 0) throw new InvalidConfig(problems);
  if (config.masterKey === '' && needsMasterKey) config.masterKey = developmentMasterKey(config.dataDir);
  return Object.freeze(config);
}

function readVariable(env: Environment, field: keyof Config, problems: string[]): string | undefined {
  const name = variableOf(field);
  const file = SECRETS.includes(field) ? env[`${name}_FILE`] : undefined;
  if (file === undefined || file === '') return env[name]?.trim();
  if (env[name]) problems.push(`${name} and ${name}_FILE are both set; keep one`);
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    problems.push(`${name}_FILE names a file that cannot be read (${(error as NodeJS.ErrnoException).code})`);
    return undefined;
  }
}

/**
 * Reads `DATA_DIR/master.key`, or makes it, mode 0600. The file appears whole or not at all (written aside, then linked),
 * and of two processes that make it at once one wins and both read the same key.
 */
function developmentMasterKey(dataDir: string): string {
  const path = join(dataDir, 'master.key');
  if (!existsSync(path)) {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    const draft = `${path}.${process.pid}`;
    const file = openSync(draft, 'w', 0o600);
    writeSync(file, `${randomBytes(MASTER_KEY_BYTES).toString('base64')}\n`);
    fsyncSync(file);
    closeSync(file);
    try {
      linkSync(draft, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    } finally {
      unlinkSync(draft);
    }
  }
  const key = readFileSync(path, 'utf8').trim();
  if (Buffer.from(key, 'base64').length !== MASTER_KEY_BYTES) {
    throw new InvalidConfig([`${path} does not hold 32 bytes in base64`]);
  }
  return key;
}
