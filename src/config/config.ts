import type { ValidationOptions } from 'class-validator';
import { isIP } from 'node:net';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { IsIn, IsInt, IsNotEmpty, Matches, Max, Min, ValidateBy } from '../common/validation.js';

/** Rules of this group hold only with NODE_ENV=production, so that tests need not wait for realistic times. */
const PRODUCTION: ValidationOptions = { groups: ['production'] };

export const MASTER_KEY_BYTES = 32;

/**
 * The configuration: environment variables, read once at boot. A field's variable is its name in upper snake case; its
 * docblock is the documentation that README and .env.example are generated from. Code takes this object, never a
 * string key.
 */
export class Config {
  /** `development`, `production` or `test`. Production has no default secrets and enforces every floor below. */
  @IsIn(['development', 'production', 'test'])
  nodeEnv: 'development' | 'production' | 'test' = 'development';

  /** Address to listen on. The image sets `0.0.0.0`. */
  @IsNotEmpty()
  host = '127.0.0.1';

  /** TCP port, 0 to 65535; 0 takes a free one. */
  @IsInt()
  @Min(0)
  @Max(65535)
  port = 3000;

  /** Folder of the embedded database and the development master key. Not used in production. */
  @IsNotEmpty()
  dataDir = '.data';

  /**
   * `mysql://user:password@host:port/database`, for MySQL 8.4+ and MariaDB 10.11+, or `sqlite:path`. Empty means SQLite in
   * `DATA_DIR`, outside production only. Parameters: `ssl-mode=VERIFY_IDENTITY|DISABLED` (verified TLS, by the
   * host's name, is the default unless the host is loopback), `ssl-ca=/path/ca.pem`.
   */
  @IsDatabaseUrl()
  @IsNamedWhenVerified()
  @Matches(/^mysql:/, { ...PRODUCTION, message: 'must be set, to a mysql:// address' })
  databaseUrl = '';

  /** Connections to MySQL per process, 1 to 200. */
  @IsInt()
  @Min(1)
  @Max(200)
  databasePoolSize = 10;

  /**
   * The one secret to keep: 32 random bytes in base64 (`openssl rand -base64 32`). A comma-separated list while it is being
   * changed, newest first. Development makes one in `DATA_DIR/master.key`.
   */
  @IsMasterKey()
  @IsNoPlaceholder(PRODUCTION)
  @IsNotEmpty({ ...PRODUCTION, message: 'must be set: 32 random bytes in base64' })
  masterKey = '';

  /** `iss` of the access tokens. Default: `PUBLIC_URL`. In production https, unless the host is localhost. */
  @IsHttpUrl()
  @IsHttpsUnlessLocalhost(PRODUCTION)
  issuer = '';

  /** `aud` of the access tokens, one. Default: `ISSUER`. */
  @IsNotEmpty()
  audience = '';

  /** Where people reach this service. Default: `http://localhost:PORT`. In production https, unless the host is localhost. */
  @IsHttpUrl()
  @IsHttpsUnlessLocalhost(PRODUCTION)
  publicUrl = '';

  /** Life of an access token in seconds, 1 to 900; in production at least 60. */
  @IsInt()
  @Min(1)
  @Max(900)
  @Min(60, PRODUCTION)
  accessTokenTtlSeconds = 300;

  /** Days after which the next key signs the access tokens, 1 to 90. */
  @IsInt()
  @Min(1)
  @Max(90)
  signingKeyDays = 30;

  /** Seconds in which a retried refresh gets the same successor, 0 (strict) to 60. */
  @IsInt()
  @Min(0)
  @Max(60)
  refreshLeewaySeconds = 10;

  /** A session ends after so many seconds without a refresh, 1 to 2592000; in production at least 300. Default 7 days. */
  @IsInt()
  @Min(1)
  @Max(2_592_000)
  @Min(300, PRODUCTION)
  sessionIdleSeconds = 604_800;

  /** A session ends so many seconds after the login, whatever happens, 1 to 2592000; in production at least 300. Default 30 days. */
  @IsInt()
  @Min(1)
  @Max(2_592_000)
  @Min(300, PRODUCTION)
  sessionAbsoluteSeconds = 2_592_000;

  /** bcrypt cost, 4 to 15; in production at least 10. */
  @IsInt()
  @Min(4)
  @Max(15)
  @Min(10, PRODUCTION)
  bcryptCost = 12;

  /** Password hashes computed at the same time, 1 to 64. Default: the number of cores. */
  @IsInt()
  @Min(1)
  @Max(64)
  hashConcurrency = availableParallelism();

  /** Shortest password in code points, 1 to 64; in production at least 12. */
  @IsInt()
  @Min(1)
  @Max(64)
  @Min(12, PRODUCTION)
  passwordMinLength = 15;

  /**
   * Whether a new account has to prove its e-mail address: `none` (sign-up tells by 409 who has an account) or `required`
   * (it tells nobody). Default: `none`; production has no default.
   */
  @IsIn(['none', 'required'], { message: 'must be none or required; production has no default' })
  emailVerification: 'none' | 'required' = 'none';

  /**
   * Where mail goes: `smtp://user:password@host:587` (STARTTLS) or `smtps://…:465`. TLS is required and verified unless the
   * host is loopback; `tls-ca=/path/ca.pem` names a private authority, `tls=DISABLED` turns TLS off. Empty: mails are
   * written to `DATA_DIR/outbox`; in production none is sent, which `EMAIL_VERIFICATION=required` does not allow.
   */
  @IsSmtpUrl()
  smtpUrl = '';

  /** Sender of the mails: `Name <address>` or an address. Must be set in production where there is `SMTP_URL`. */
  @IsMailFrom()
  mailFrom = 'Gatehouse <no-reply@localhost>';

  /** Page that the link of an address check opens; `#token=…` is put behind it. Default: `PUBLIC_URL/verify-email`. */
  @IsHttpUrl()
  @IsHttpsUnlessLocalhost(PRODUCTION)
  verifyUrl = '';

  /** Page that the link of a password reset opens; `#token=…` is put behind it. Default: `PUBLIC_URL/reset-password`. */
  @IsHttpUrl()
  @IsHttpsUnlessLocalhost(PRODUCTION)
  resetUrl = '';

  /**
   * `off` lifts the budgets of client addresses, for load tests and the like; outside production only. The locks of accounts
   * and the cap on mails to one account stay.
   */
  @IsIn(['on', 'off'])
  @IsIn(['on'], PRODUCTION)
  rateLimits: 'on' | 'off' = 'on';

  /** Logins of one client address (IPv6: its /64), as `number/seconds`. A successful one is given back. */
  @IsBudget()
  rateLimitLogin = '60/60';

  /** Failed logins of one client address at one account, locked or not, as `number/seconds`. Beyond, its passwords are not looked at. */
  @IsBudget()
  rateLimitLoginPair = '100/86400';

  /** Sign-ups of one client address, as `number/seconds`. */
  @IsBudget()
  rateLimitSignup = '20/3600';

  /** Requests of one client address for a reset link, as `number/seconds`. */
  @IsBudget()
  rateLimitForgot = '20/3600';

  /** Requests of one client address for another confirmation link, as `number/seconds`. */
  @IsBudget()
  rateLimitResend = '20/3600';

  /**
   * Mails of one kind that anybody may have sent to one account, as `number/seconds`, of at most 86400 seconds. Beyond, the
   * answer is the same and no mail comes.
   */
  @IsBudget(86_400) // what is counted are the stored mails, and those are kept for a day
  rateLimitAccountMail = '3/3600';

  /** Refreshes of one client address, as `number/seconds`. */
  @IsBudget()
  rateLimitRefresh = '120/60';

  /** Requests of one client address that fail to authenticate a service, as `number/seconds`. */
  @IsBudget()
  rateLimitClientAuth = '30/60';

  /** Introspections of one service, as `number/seconds`. */
  @IsBudget()
  rateLimitIntrospection = '6000/60';

  /** Accounts at which one client address may fail before it is recorded as credential stuffing, as `number/seconds`. Nothing is refused. */
  @IsBudget()
  alertAccountsPerAddress = '25/3600';

  /** How long ten wrong passwords lock an account, in seconds, 1 to 86400; in production at least 1800. */
  @IsInt()
  @Min(1)
  @Max(86_400)
  @Min(1_800, PRODUCTION)
  lockSeconds = 1_800;

  /**
   * Range address of a Pwned Passwords service, to which the first five hex digits of a SHA-1 are appended (behind a `/`,
   * where it ends with neither `/` nor `=`), for instance `https://api.pwnedpasswords.com/range/`. Empty: new passwords are
   * held against the built-in list alone.
   */
  @IsRangeUrl()
  @IsHttpsUnlessLocalhost(PRODUCTION)
  hibpUrl = '';

  /** Open connections at most, 100 to 1000000. Beyond, the one that has waited longest without a whole request makes room. */
  @IsInt()
  @Min(100)
  @Max(1_000_000)
  maxConnections = 10_000;

  /** Address on which `/metrics` listens. */
  @IsNotEmpty()
  metricsHost = '127.0.0.1';

  /** TCP port of `/metrics`, 0 to 65535; 0 takes a free one. */
  @IsInt()
  @Min(0)
  @Max(65535)
  metricsPort = 9464;

  /** Days between the deletion of an account and the erasure of its data, 0 (at once) to 365. */
  @IsInt()
  @Min(0)
  @Max(365)
  deletionGraceDays = 0;

  /** Which proxies may name the client: a number of hops (1 to 10), or addresses and CIDRs, comma-separated. Empty: none. Never all. */
  @IsTrustProxy()
  trustProxy = '';

  /** Swagger UI at /docs: `on` or `off`. Default: `on`, in production `off`. */
  @IsIn(['on', 'off'])
  docs: 'on' | 'off' = 'on';

  /** `trace`, `debug`, `info`, `warn`, `error`, `fatal` or `silent`. */
  @IsIn(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
  logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent' = 'info';

  get isProduction(): boolean {
    return this.nodeEnv === 'production';
  }

  /** The path of the SQLite file, or undefined when the database is MySQL. */
  get sqlitePath(): string | undefined {
    if (this.databaseUrl === '') return join(this.dataDir, 'gatehouse.sqlite');
    const match = /^sqlite:(?:\/\/)?(.+)$/.exec(this.databaseUrl);
    return match?.[1];
  }

  /** The master keys as bytes, newest first. */
  get masterKeys(): Buffer[] {
    return parseMasterKeys(this.masterKey);
  }

  /** What Fastify's `trustProxy` takes. */
  get trustedProxies(): false | string[] | ((address: string, hop: number) => boolean) {
    if (this.trustProxy === '') return false;
    if (!/^\d+$/.test(this.trustProxy)) return listOf(this.trustProxy);
    // As a function: Fastify 5 takes a bare number for "trust nobody".
    const hops = Number(this.trustProxy);
    return (_, hop) => hop < hops;
  }
}

function rule(name: string, message: string, test: (value: string) => boolean, options?: ValidationOptions) {
  return ValidateBy(
    { name, validator: { validate: (value: unknown) => typeof value === 'string' && test(value) } },
    { message, ...options },
  );
}

function IsDatabaseUrl() {
  return rule('isDatabaseUrl', 'must be mysql://user:password@host:port/database or sqlite:path', (value) => {
    if (value === '' || /^sqlite:(\/\/)?./.test(value)) return true;
    const url = parseUrl(value);
    if (url?.protocol !== 'mysql:' || url.hostname === '' || !/^\/[^/]+$/.test(url.pathname)) return false;
    if (![url.username, url.password, url.pathname].every(isDecodable)) return false;
    return ['VERIFY_IDENTITY', 'DISABLED'].includes(sslModeOf(url));
  });
}

/** Certificates are checked by name: mysql2 checks nothing at all when the host is an address (seen with 3.24). */
function IsNamedWhenVerified() {
  return rule(
    'isNamedWhenVerified',
    'must name its host, not an address, for the certificate to be checked',
    (value) => {
      const url = parseUrl(value);
      return url?.protocol !== 'mysql:' || sslModeOf(url) === 'DISABLED' || isIP(hostOf(url)) === 0;
    },
  );
}

/** How the connection is protected: as the address says; else verified TLS, but for a server on this machine. */
export function sslModeOf(url: URL): string {
  return url.searchParams.get('ssl-mode') ?? (isLoopback(url) ? 'DISABLED' : 'VERIFY_IDENTITY');
}

/** The host as a socket takes it: an IPv6 address without its brackets. */
export function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, '$1');
}

const isLoopback = ({ hostname }: URL) => /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);

function IsMasterKey() {
  return rule('isMasterKey', 'must be 32 random bytes in base64 (openssl rand -base64 32)', (value) => {
    return value === '' || parseMasterKeys(value).every((key) => key.length === MASTER_KEY_BYTES);
  });
}

function IsNoPlaceholder(options: ValidationOptions) {
  return rule(
    'isNoPlaceholder',
    'must be random bytes, not a placeholder (openssl rand -base64 32)',
    (value) => value === '' || parseMasterKeys(value).every(looksRandom),
    options,
  );
}

function IsHttpUrl() {
  return rule('isHttpUrl', 'must be an http(s) address without query or fragment', isHttpUrl);
}

function isHttpUrl(value: string): boolean {
  const url = parseUrl(value);
  return url !== undefined && /^https?:$/.test(url.protocol) && !/[?#\s]/.test(value) && url.username === '';
}

function IsHttpsUnlessLocalhost(options: ValidationOptions) {
  return rule(
    'isHttpsUnlessLocalhost',
    'must be https unless the host is localhost',
    (value) => {
      const url = parseUrl(value);
      return (
        value === '' || url?.protocol === 'https:' || /^(localhost|127\.0\.0\.1|\[::1\])$/.test(url?.hostname ?? '')
      );
    },
    options,
  );
}

function IsSmtpUrl() {
  return rule('isSmtpUrl', 'must be smtp://user:password@host:port or smtps://…', (value) => {
    if (value === '') return true;
    const url = parseUrl(value);
    if (!url || !/^smtps?:$/.test(url.protocol) || url.hostname === '' || !/^\/?$/.test(url.pathname)) return false;
    return [url.username, url.password].every(isDecodable) && ['VERIFY', 'DISABLED'].includes(smtpTlsOf(url));
  });
}

/** How mail travels: as the address says; else verified TLS, but to a server on this machine. */
export function smtpTlsOf(url: URL): string {
  return url.searchParams.get('tls') ?? (isLoopback(url) && url.protocol === 'smtp:' ? 'DISABLED' : 'VERIFY');
}

/** One address, with a name before it or without; nothing that could end a header line. */
function IsMailFrom() {
  return rule('isMailFrom', 'must be an address, or a name and an address in angle brackets', (value) =>
    /^(?:[^<>"\p{Cc}]+ <[^\s<>@\p{Cc}]+@[^\s<>@\p{Cc}]+>|[^\s<>@\p{Cc}]+@[^\s<>@\p{Cc}]+)$/u.test(value),
  );
}

/** A number of uses, 1 to 1000000, in so many seconds, 1 to `maxSeconds`. */
function IsBudget(maxSeconds = 2_592_000) {
  const message = `must be number/seconds, for instance 60/60, of at most 1000000 in at most ${maxSeconds} seconds`;
  return rule('isBudget', message, (value) => {
    if (!/^\d{1,7}\/\d{1,7}$/.test(value)) return false;
    const { points, seconds } = budgetOf(value);
    return points >= 1 && points <= 1_000_000 && seconds >= 1 && seconds <= maxSeconds;
  });
}

/** What a budget's text says. */
export function budgetOf(text: string): { points: number; seconds: number } {
  const [points, seconds] = text.split('/').map(Number) as [number, number];
  return { points, seconds };
}

function IsRangeUrl() {
  return rule('isRangeUrl', 'must be an http(s) address without query or fragment', (value) => {
    return value === '' || isHttpUrl(value);
  });
}

function IsTrustProxy() {
  return rule(
    'isTrustProxy',
    'must be a number of hops (1 to 10) or a list of addresses and CIDRs, never all',
    (value) => {
      if (value === '') return true;
      if (/^\d+$/.test(value)) return Number(value) >= 1 && Number(value) <= 10;
      return listOf(value).every((entry) => {
        const [address = '', prefix, ...rest] = entry.split('/');
        const bits = isIP(address) === 6 ? 128 : 32;
        const validPrefix =
          prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) >= 8 && Number(prefix) <= bits);
        return isIP(address) !== 0 && validPrefix && rest.length === 0;
      });
    },
  );
}

/** A key of one repeated or counting byte, or of printable words, was typed by a person. */
function looksRandom(key: Buffer): boolean {
  return new Set(key).size >= 16 && !/^[\x20-\x7e]+$/.test(key.toString('latin1')) && key.some((byte, i) => byte !== i);
}

function parseMasterKeys(value: string): Buffer[] {
  return listOf(value).map((key) =>
    /^[A-Za-z0-9+/]+={0,2}$/.test(key) ? Buffer.from(key, 'base64') : Buffer.alloc(0),
  );
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

function parseUrl(value: string): URL | undefined {
  return URL.canParse(value) ? new URL(value) : undefined;
}

const listOf = (value: string) => value.split(',').map((entry) => entry.trim());
