import type { FastifyRequest } from 'fastify';
import { describe, expect, test } from 'vitest';
import { clientAddress } from '../../../src/common/principal.js';

const addressOf = (ip: string, remoteAddress?: string) =>
  clientAddress({ ip, socket: { remoteAddress } } as unknown as FastifyRequest);

describe('the address of a client', () => {
  test.each([
    ['203.0.113.7', '203.0.113.7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['::ffff:cb00:7107', '203.0.113.7'],
    ['0:0:0:0:0:FFFF:CB00:7107', '203.0.113.7'],
    ['2001:DB8:0:0::7', '2001:db8::7'],
  ])('%s has one form, %s', (forwarded, address) => {
    expect(addressOf(forwarded, '127.0.0.1')).toBe(address);
  });

  test.each([
    ['203.0.113.7:4711', '203.0.113.7'],
    ['[2001:db8::1]:4711', '2001:db8::1'],
    ['[2001:db8::1]', '2001:db8::1'],
    ['[::ffff:203.0.113.7]:4711', '203.0.113.7'],
  ])('%s is without its port', (forwarded, address) => {
    expect(addressOf(forwarded, '127.0.0.1')).toBe(address);
  });

  // Proves ASVS 15.3.4, ASVS 4.1.3: forwarded addresses are believed from the named proxies alone
  test.each([
    '',
    'unknown',
    '1',
    '1:2',
    '010.0.0.1',
    '203.0.113.7:',
    '203.0.113.7:x',
    '[]:1',
    '[::1',
    'fe80::1%a',
    '[fe80::1%a]:1',
  ])('what is none, "%s", is that of the connection', (forwarded) => {
    expect(addressOf(forwarded, '::ffff:198.51.100.1')).toBe('198.51.100.1');
  });

  test('has no zone', () => {
    expect(addressOf('fe80::1%eth0', 'fe80::1%eth0')).toBe('fe80::1');
  });

  test('is empty when the connection has gone', () => {
    expect(addressOf('unknown')).toBe('');
  });
});
