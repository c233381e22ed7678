// Proves ASVS 1.1.1, RFC 5321, RFC 5891, CS Input Validation: an e-mail address has one canonical form, or is refused
import { describe, expect, test } from 'vitest';
import { canonicalEmail } from '../../../src/users/email-address.js';

const label = (length: number) => 'a'.repeat(length);

describe('canonical form', () => {
  test.each([
    ['ada@example.com', 'ada@example.com'],
    ['Ada.Lovelace+News@Example.COM', 'ada.lovelace+news@example.com'],
    ['a.d.a@gmail.com', 'a.d.a@gmail.com'],
    ['ada@bücher.example', 'ada@xn--bcher-kva.example'],
    ['ada@BÜCHER.example', 'ada@xn--bcher-kva.example'],
    ['ada@xn--bcher-kva.example', 'ada@xn--bcher-kva.example'],
    ['ada@例え。テスト', 'ada@xn--r8jz45g.xn--zckzah'],
    [`${label(64)}@example.com`, `${label(64)}@example.com`],
    [`ada@${label(63)}.example`, `ada@${label(63)}.example`],
  ])('%s → %s', (text, canonical) => {
    expect(canonicalEmail(text)).toBe(canonical);
  });

  test('254 octets pass, 255 do not', () => {
    const domain = `${label(61)}.${label(61)}.${label(61)}.example`;
    const fill = 254 - domain.length - 1;
    expect(canonicalEmail(`${label(fill)}@${domain}`)).toHaveLength(254);
    expect(canonicalEmail(`${label(fill + 1)}@${domain}`)).toBeUndefined();
  });
});

describe('refused', () => {
  test.each([
    ['nothing', ''],
    ['no at', 'ada.example.com'],
    ['two ats', 'ada@x@example.com'],
    ['a local part of 65', `${label(65)}@example.com`],
    ['a label of 64', `ada@${label(64)}.example`],
    ['a single label', 'ada@localhost'],
    ['a trailing dot', 'ada@example.com.'],
    ['a leading dot', 'ada@.example.com'],
    ['an empty label', 'ada@example..com'],
    ['an IP literal', 'ada@[127.0.0.1]'],
    ['an IPv4 address', 'ada@127.0.0.1'],
    ['a number that is one', 'ada@0x7f.1'],
    ['white space before', ' ada@example.com'],
    ['white space after', 'ada@example.com '],
    ['a line feed', 'ada@example.com\nBcc: eve@example.com'],
    ['a carriage return', 'ada\r@example.com'],
    ['NUL', 'ada\0@example.com'],
    ['a quoted local part', '"ada lovelace"@example.com'],
    ['an apostrophe', "o'ada@example.com"],
    ['a backtick', 'a`da@example.com'],
    ['dots in a row', 'a..da@example.com'],
    ['a dot first', '.ada@example.com'],
    ['a local part beyond ASCII', 'ädä@example.com'],
    ['an encoded domain', 'ada@ex%61mple.com'],
    ['a path', 'ada@example.com/x'],
    ['an underscore in the domain', 'ada@exa_mple.com'],
    ['a hyphen at the edge', 'ada@-example.com'],
    ['a lone surrogate', 'ada@ex\ud800mple.com'],
  ])('%s', (_, text) => {
    expect(canonicalEmail(text)).toBeUndefined();
  });
});
