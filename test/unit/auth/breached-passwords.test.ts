import { Logger } from '@nestjs/common';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { AuditEntry, AuditTrail } from '../../../src/audit/audit-trail.js';
import { BreachedPasswords } from '../../../src/auth/breached-passwords.js';
import { Config } from '../../../src/config/config.js';
import { Metrics } from '../../../src/metrics/metrics.js';
import { RangeService, splitDigest, type RangeBehaviour } from '../../support/range-service.js';

const PASSWORD = 'violet kettle gravel';
const { prefix, suffix } = splitDigest(PASSWORD);

let range: RangeService;
let metrics: Metrics;
let recorded: AuditEntry[];
let record: (entry: AuditEntry) => Promise<void>;
let breached: BreachedPasswords;
let logged: ReturnType<typeof vi.spyOn>;

function asking(hibpUrl: string): BreachedPasswords {
  const audit = { record: (entry: AuditEntry) => record(entry) } as unknown as AuditTrail;
  return new BreachedPasswords(Object.assign(new Config(), { hibpUrl }), audit, metrics);
}

beforeEach(async () => {
  range = await new RangeService().start();
  metrics = new Metrics();
  recorded = [];
  record = async (entry) => void recorded.push(entry);
  breached = asking(range.url);
  logged = vi.spyOn(Logger.prototype, 'warn').mockReturnValue(undefined);
});
afterEach(async () => {
  vi.restoreAllMocks();
  await range.stop();
});

const failures = async () => (await metrics.breachCheckFailures.get()).values[0]?.value ?? 0;
const types = () => recorded.map(({ type }) => type);

// Proves ASVS 14.2.3: five digits of a SHA-1 of a password leave the house, and only with HIBP_URL
describe('the request', () => {
  test('five digits of the SHA-1, known from elsewhere, and nothing else of the password', async () => {
    await breached.has('password'); // 5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8
    const [{ method, path, headers }] = range.requests as [(typeof range.requests)[number]];
    expect([method, path]).toEqual(['GET', '/range/5BAA6']);
    expect(headers['add-padding']).toBe('true');
    expect(headers['user-agent']).toBe('gatehouse');
    expect(JSON.stringify(range.requests)).not.toMatch(/1E4C9B93F|password/i);
  });

  test('one password in two normal forms is one', async () => {
    range.breach('é violet kettle'.normalize('NFC'));
    expect(await breached.has('é violet kettle'.normalize('NFD'))).toBe(true);
  });

  test('without an address nothing is asked', async () => {
    range.breach(PASSWORD);
    expect(await asking('').has(PASSWORD)).toBe(false);
    expect(range.requests).toEqual([]);
    expect(await failures()).toBe(0);
  });
});

// Proves ASVS 6.2.12: breached passwords are refused when new, and told of once when in use
describe('the answer', () => {
  test.each([
    ['CRLF', `${'0'.repeat(35)}:1\r\n${suffix}:3\r\n`, true],
    ['LF', `${'0'.repeat(35)}:1\n${suffix}:3`, true],
    ['lower case', `${suffix.toLowerCase()}:3`, true],
    ['padding', `${suffix}:0\r\n${'0'.repeat(35)}:0`, false],
    ['others', `${'0'.repeat(35)}:9\r\n${'F'.repeat(35)}:9`, false],
    ['no entries', '', false],
  ])('%s', async (_, text, expected) => {
    range.behaviour = { text };
    expect(await breached.has(PASSWORD)).toBe(expected);
    expect(await failures()).toBe(0);
    expect(recorded).toEqual([]);
  });
});

// Proves ASVS 6.2.12, ASVS 16.3.4: the breach check fails open, and records that
describe('no answer that can be used: the password passes', () => {
  const listed = `${suffix}:3\r\n`;
  test.each<[string, RangeBehaviour]>([
    ['nothing comes', 'silent'],
    ['the body does not end', 'trickle'],
    ['it hangs up', 'drop'],
    ['500', { status: 500, text: listed }],
    ['404', { status: 404 }],
    ['204', { status: 204 }],
    ['a redirect', { status: 302, headers: { Location: '/range/elsewhere' } }],
    ['a page', { text: '<!doctype html><title>Log in to the network</title>' }],
    ['half a line', { text: `${listed}${'0'.repeat(20)}` }],
    ['no count', { text: `${listed}${suffix}:` }],
    ['a negative count', { text: `${suffix}:-1` }],
    ['more than 1 MiB', { text: listed.repeat(30_000) }],
  ])('%s', async (_, behaviour) => {
    range.breach(PASSWORD);
    range.behaviour = behaviour;
    expect(await breached.has(PASSWORD)).toBe(false);
    expect(range.requests).toHaveLength(1);
    expect(await failures()).toBe(1);
    expect(recorded).toEqual([
      {
        type: 'sys_monitor_disabled',
        outcome: 'failure',
        actor: { type: 'system' },
        reason: 'breached_password_check',
      },
    ]);
  });

  test('a closed port', async () => {
    const gone = await new RangeService().start();
    const { url } = gone;
    await gone.stop();
    expect(await asking(url).has(PASSWORD)).toBe(false);
    expect(await failures()).toBe(1);
    expect(types()).toEqual(['sys_monitor_disabled']);
  });

  // Proves ASVS 16.2.5, CS Logging: no secret in a log line, an error body or an event
  test('the log says why, and nothing of the password', async () => {
    range.behaviour = { status: 503, text: listed };
    await breached.has(PASSWORD);
    expect(logged).toHaveBeenCalledTimes(1);
    expect(logged.mock.calls[0]?.[0]).toMatchObject({ event: 'breach_check_failed', err: { code: 'status_503' } });
    const written = JSON.stringify([logged.mock.calls, recorded]);
    for (const part of [PASSWORD, prefix, suffix]) expect(written).not.toContain(part);
  });
});

// Proves ASVS 6.2.12, ASVS 16.3.4: the breach check fails open, and records that
describe('the record', () => {
  test('one event for each change, also when many are asked at once', async () => {
    const askMany = () => Promise.all(Array.from({ length: 5 }, () => breached.has(PASSWORD)));
    for (const status of [200, 500, 500, 200, 200, 503]) {
      range.behaviour = { status };
      await askMany();
    }
    expect(types()).toEqual(['sys_monitor_disabled', 'sys_monitor_enabled', 'sys_monitor_disabled']);
    expect(recorded[1]).toMatchObject({ outcome: 'success', reason: 'breached_password_check' });
    expect(await failures()).toBe(15);
  });

  test('one that cannot be written fails nothing, and is written by the next check', async () => {
    range.behaviour = { status: 500 };
    const write = record;
    record = () => Promise.reject(new Error('no database'));
    expect(await breached.has(PASSWORD)).toBe(false);
    record = write;
    await breached.has(PASSWORD);
    await breached.has(PASSWORD);
    expect(types()).toEqual(['sys_monitor_disabled']);
  });
});
