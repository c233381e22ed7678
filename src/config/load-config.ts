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
import { validateSync } from '../common/validation.js';
import { Config, MASTER_KEY_BYTES } from './config.js';

export type Environment = Record<string, string | undefined>;

/** Variables that are also read from the file that `NAME_FILE` names. */
export const SECRETS: readonly (keyof Config)[] = ['databaseUrl', 'masterKey', 'smtpUrl'];

/** Where nothing else is said, made of `PUBLIC_URL`. */
const DERIVED: ReadonlySet<string> = new Set<keyof Config>(['verifyUrl', 'resetUrl']);

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
 * @param serves false for a command that only changes the schema: what it has no use for, the master key first of all, may
 * then be missing.
 * @throws InvalidConfig with all problems.
 */
export function loadConfig(env: Environment, { serves = true } = {}): Config {
  const config = new Config();
  const problems: string[] = [];
  const given = new Set<keyof Config>();
  for (const field of configFields()) {
    const text = readVariable(env, field, problems);
    if (text === undefined || text === '') continue;
    given.add(field);
    const isNumber = typeof config[field] === 'number';
    Object.assign(config, { [field]: isNumber ? (/^-?\d+$/.test(text) ? Number(text) : NaN) : text });
  }
  config.publicUrl ||= `http://localhost:${config.port}`;
  config.issuer ||= config.publicUrl;
  config.verifyUrl ||= `${config.publicUrl.replace(/\/$/, '')}/verify-email`;
  config.resetUrl ||= `${config.publicUrl.replace(/\/$/, '')}/reset-password`;
  config.audience ||= config.issuer;
  config.hibpUrl = config.hibpUrl.replace(/[^/=]$/, '$&/');
  if (config.isProduction && !given.has('docs')) config.docs = 'off';
  if (config.isProduction && !given.has('emailVerification')) Object.assign(config, { emailVerification: '' });

  const groups = { groups: [config.nodeEnv], always: true };
  for (const { property, constraints = {} } of validateSync(config, groups)) {
    if (!given.has(property as keyof Config) && DERIVED.has(property)) continue; // said once, of PUBLIC_URL
    if (!serves && property !== 'databaseUrl' && !given.has(property as keyof Config)) continue;
    for (const rule of Object.values(constraints)) {
      problems.push(`${variableOf(property)} ${rule.replace(new RegExp(`^${property} `), '')}`);
    }
  }
  if (config.sessionIdleSeconds > config.sessionAbsoluteSeconds) {
    if (given.has('sessionIdleSeconds')) {
      problems.push('SESSION_IDLE_SECONDS must not be greater than SESSION_ABSOLUTE_SECONDS');
    } else config.sessionIdleSeconds = config.sessionAbsoluteSeconds;
  }
  if (config.isProduction && serves) problems.push(...mailProblems(config, given));
  if (problems.length > 0) throw new InvalidConfig(problems);
  if (config.masterKey === '' && serves) config.masterKey = developmentMasterKey(config.dataDir);
  return Object.freeze(config);
}

function mailProblems(config: Config, given: Set<keyof Config>): string[] {
  if (config.smtpUrl === '') {
    return config.emailVerification === 'required' ? ['SMTP_URL must be set for EMAIL_VERIFICATION=required'] : [];
  }
  return given.has('mailFrom') ? [] : ['MAIL_FROM must be set, to an address that may send for you'];
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
