import { expect, test } from 'vitest';
import { clientBlock } from '../../../src/limits/client-block.js';

// Proves ASVS 6.3.1: an IPv6 client is its /64
test.each([
  ['203.0.113.7', '203.0.113.7'],
  ['::ffff:203.0.113.7', '203.0.113.7'],
  ['::ffff:cb00:7107', '203.0.113.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:DB8:1:2::', '2001:db8:1:2::/64'],
  ['2001:db8:1:2:ffff:ffff:ffff:ffff', '2001:db8:1:2::/64'],
  ['2001:db8:1:3::1', '2001:db8:1:3::/64'],
  ['::1', '::/64'],
  ['', 'unknown'],
  ['localhost', 'unknown'],
])('%s counts as %s', (address, block) => {
  expect(clientBlock(address)).toBe(block);
});
