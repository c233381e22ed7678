import { expect, test } from 'vitest';
import { settingsOf, VerifierError, type VerifierOptions } from '../../../src/verifier/options.js';

const good: VerifierOptions = { issuer: 'https://auth.example', audience: 'api', clientId: 'id', clientSecret: 'hush' };

test('the defaults', () => {
  expect(settingsOf(good)).toMatchObject({
    baseUrl: 'https://auth.example',
    maxStalenessMs: 5_000,
    onStale: 'reject',
    catchUpMs: 2_000,
    timeoutMs: 5_000,
    clock: Date.now,
  });
  expect(settingsOf({ ...good, baseUrl: 'http://gatehouse:3000/' }).baseUrl).toBe('http://gatehouse:3000');
});

test.each([
  [{ issuer: undefined }, 'issuer must be an http or https URL without query, fragment and credentials'],
  [{ issuer: 'auth.example' }, 'issuer must be'],
  [{ issuer: 'https://auth.example/?a' }, 'issuer must be'],
  [{ audience: '' }, 'audience must be a text that is not empty'],
  [{ clientId: undefined }, 'clientId must be'],
  [{ clientSecret: undefined }, 'clientSecret must be'],
  [{ baseUrl: 'ftp://auth.example' }, 'baseUrl must be'],
  [{ baseUrl: 'https://user:hush@auth.example' }, 'baseUrl must be'],
  [{ maxStalenessMs: 1_999 }, 'maxStalenessMs must be a whole number of milliseconds from 2000 to 300000'],
  [{ maxStalenessMs: 300_001 }, 'maxStalenessMs must be'],
  [{ maxStalenessMs: '5000' }, 'maxStalenessMs must be'],
  [{ maxStalenessMs: NaN }, 'maxStalenessMs must be'],
  [{ catchUpMs: -1 }, 'catchUpMs must be'],
  [{ timeoutMs: 99 }, 'timeoutMs must be'],
  [{ onStale: 'allow' }, `onStale must be 'introspect' or 'reject'`],
  [{ clock: 5 }, 'clock must be a function'],
  [{ maxStaleness: 5 }, 'maxStaleness is not an option'],
])('refuses %j', (wrong, message) => {
  const make = () => settingsOf({ ...good, ...wrong } as unknown as VerifierOptions);
  expect(make).toThrow(VerifierError);
  expect(make).toThrow(message);
});

test.each([undefined, NaN, Infinity, '1800000000000', new Date()])('a clock that says %s is none', (now) => {
  expect(settingsOf({ ...good, clock: () => now as number }).clock()).toBeNaN();
});

test('names everything that is wrong, and no value', () => {
  const make = () => settingsOf({ issuer: 'x', audience: 'api', clientId: '', clientSecret: 'hush', timeoutMs: 0 });
  expect(make).toThrow(/^clientId .*; issuer .*; timeoutMs /);
  expect(make).not.toThrow(/hush/);
});

test.each([undefined, null, 'x'])('refuses options that are %s', (options) => {
  expect(() => settingsOf(options as unknown as VerifierOptions)).toThrow(VerifierError);
});
