import { expect, test } from 'vitest';
import { Config } from '../../../src/config/config.js';
import { serviceName } from '../../../src/config/service-name.js';

const publicUrl = 'https://auth.example:8443/base';

test.each([
  ['Example Bank <no-reply@auth.example>', 'Example Bank'],
  ['Bücher & Söhne   <post@auth.example>', 'Bücher & Söhne'],
  ['no-reply@auth.example', 'auth.example'],
])('%s → %s', (mailFrom, name) => {
  expect(serviceName({ mailFrom, publicUrl })).toBe(name);
});

test('without MAIL_FROM it is ours', () => {
  expect(serviceName({ mailFrom: new Config().mailFrom, publicUrl })).toBe('Gatehouse');
});
