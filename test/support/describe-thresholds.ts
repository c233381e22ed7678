import { FORMER_PASSWORDS } from '../../src/auth/account/former-password.repository.js';
import { MAX_DEVICES } from '../../src/auth/device-tokens.js';
import { MAX_CONSECUTIVE_FAILURES, MAX_FAILURES } from '../../src/auth/login-failure.repository.js';
import { MAX_SESSIONS } from '../../src/auth/session.service.js';
import { budgetOf, Config } from '../../src/config/config.js';
import { RESET_LINK_SECONDS, VERIFY_LINK_SECONDS } from '../../src/mail/messages.js';

const UNITS: [number, string][] = [
  [86_400, 'day'],
  [3_600, 'hour'],
  [60, 'minute'],
  [1, 'second'],
];

/** In the largest unit that leaves no rest. */
function inWords(seconds: number): string {
  const [size, unit] = UNITS.find(([size]) => seconds % size === 0) as [number, string];
  return seconds === size ? `1 ${unit}` : `${seconds / size} ${unit}s`;
}

function perWindow(budget: string): string {
  const { points, seconds } = budgetOf(budget);
  return `${points} in ${inWords(seconds)}`;
}

/** The limits of docs/security.md as a table, from the code and the defaults of the configuration. */
export function thresholdTable(): string {
  const config = new Config();
  const rows = [
    ['wrong passwords before the account is locked', MAX_FAILURES, ''],
    ['the lock', inWords(config.lockSeconds), 'LOCK_SECONDS'],
    ['wrong passwords in a row that end the password until recovery', MAX_CONSECUTIVE_FAILURES, ''],
    ['devices with counts of their own, for each account', MAX_DEVICES, ''],
    [
      'logins of a client address (a successful one is given back)',
      perWindow(config.rateLimitLogin),
      'RATE_LIMIT_LOGIN',
    ],
    [
      'wrong passwords of a client address at one account',
      perWindow(config.rateLimitLoginPair),
      'RATE_LIMIT_LOGIN_PAIR',
    ],
    ['sign-ups of a client address', perWindow(config.rateLimitSignup), 'RATE_LIMIT_SIGNUP'],
    ['reset links asked for by a client address', perWindow(config.rateLimitForgot), 'RATE_LIMIT_FORGOT'],
    ['confirmation links asked for by a client address', perWindow(config.rateLimitResend), 'RATE_LIMIT_RESEND'],
    ['mails of one kind to one account', perWindow(config.rateLimitAccountMail), 'RATE_LIMIT_ACCOUNT_MAIL'],
    ['refreshes of a client address', perWindow(config.rateLimitRefresh), 'RATE_LIMIT_REFRESH'],
    [
      'requests of a client address that fail to authenticate a service',
      perWindow(config.rateLimitClientAuth),
      'RATE_LIMIT_CLIENT_AUTH',
    ],
    ['introspections of a service', perWindow(config.rateLimitIntrospection), 'RATE_LIMIT_INTROSPECTION'],
    [
      'accounts at which an address fails before it is recorded',
      perWindow(config.alertAccountsPerAddress),
      'ALERT_ACCOUNTS_PER_ADDRESS',
    ],
    ['password: shortest, in code points', config.passwordMinLength, 'PASSWORD_MIN_LENGTH'],
    ['password: former ones that are refused', FORMER_PASSWORDS, ''],
    ['session: without a refresh', inWords(config.sessionIdleSeconds), 'SESSION_IDLE_SECONDS'],
    ['session: in all', inWords(config.sessionAbsoluteSeconds), 'SESSION_ABSOLUTE_SECONDS'],
    ['sessions of a person', MAX_SESSIONS, ''],
    ['access token', inWords(config.accessTokenTtlSeconds), 'ACCESS_TOKEN_TTL_SECONDS'],
    ['link to a new password', inWords(RESET_LINK_SECONDS), ''],
    ['link that proves an address', inWords(VERIFY_LINK_SECONDS), ''],
  ];
  const lines = rows.map(([what, value, name]) => `| ${what} | ${value} | ${name && `\`${name}\``} |\n`);
  return `\n| limit | default | variable |\n| --- | --- | --- |\n${lines.join('')}\n`;
}
