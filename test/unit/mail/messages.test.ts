import { describe, expect, test } from 'vitest';
import { layOut } from '../../../src/mail/message-layout.js';
import {
  compose,
  foreignText,
  type LetterContext,
  type Message,
  type MessageKind,
} from '../../../src/mail/messages.js';

const TOKEN = 'tk_canary-0123456789_abcdefghijklmnopqrstuvwxyz';
const IP = '2001:db8::7';
const AGENT = 'Mozilla/5.0 (X11; Linux x86_64) Canary/1.0';
const context: LetterContext = {
  service: 'Example Bank',
  verifyUrl: 'https://app.example/verify-email',
  resetUrl: 'https://app.example/reset-password',
  storedAt: new Date('2026-11-22T12:00:05.678Z'),
};
const at = '2026-11-22T11:59:00.000Z';

/** What each kind must say. A record, so that a new kind without an entry does not compile. */
const EXPECTED: { [K in MessageKind]: { message: Extract<Message, { kind: K }>; says: RegExp[]; link?: string } } = {
  verify_email: {
    message: { kind: 'verify_email', token: TOKEN, asksForPassword: false },
    says: [/signed up/, /24 hours: until 2026-11-23 12:00:05 UTC/, /not you, do not open the link, and ignore/],
    link: `https://app.example/verify-email#token=${TOKEN}`,
  },
  signup_attempted: {
    message: { kind: 'signup_attempted' },
    says: [/tried to sign up/, /Nothing has changed/, /log in/, /"Forgot password"/],
  },
  reset_password: {
    message: { kind: 'reset_password', token: TOKEN },
    says: [/30 minutes: until 2026-11-22 12:30:05 UTC/, /not you, do not open the link/, /password stays as it is/],
    link: `https://app.example/reset-password#token=${TOKEN}`,
  },
  password_changed: { message: { kind: 'password_changed' }, says: [/password .* was changed on/, /Forgot password/] },
  confirm_email_change: {
    message: { kind: 'confirm_email_change', token: TOKEN },
    says: [/use this address/, /24 hours: until 2026-11-23/, /not you, do not open the link/],
    link: `https://app.example/verify-email#token=${TOKEN}`,
  },
  email_change_requested: {
    message: { kind: 'email_change_requested' },
    says: [/asked for another e-mail address/, /stays with this address/, /Forgot password/],
  },
  email_change_attempted: {
    message: { kind: 'email_change_attempted' },
    says: [/another account/, /Nothing has changed/],
  },
  email_changed: {
    message: { kind: 'email_changed' },
    says: [/was changed/, /former and to the new address/, /write/i],
  },
  new_sign_in: {
    message: { kind: 'new_sign_in', at, ip: IP, userAgent: AGENT },
    says: [/2026-11-22 11:59:00 UTC/, /2001:db8::7/, /Canary\/1\.0/, /end every session/],
  },
  account_locked: {
    message: { kind: 'account_locked', until: '2026-11-22T12:15:00Z' },
    says: [/Until 2026-11-22 12:15:00 UTC logging in is refused/, /guessing/],
  },
  password_blocked: {
    message: { kind: 'password_blocked' },
    says: [/hundred wrong passwords/, /Forgot password/, /guessing/],
  },
  password_breached: {
    message: { kind: 'password_breached' },
    says: [/stolen elsewhere/, /Change it soon/, /not you/],
  },
  refresh_token_replayed: {
    message: { kind: 'refresh_token_replayed', at },
    says: [/2026-11-22 11:59:00 UTC/, /session was ended/, /end every session/],
  },
  account_deleted: { message: { kind: 'account_deleted' }, says: [/was deleted/, /not you, write/] },
};

const cases = Object.entries(EXPECTED) as [MessageKind, (typeof EXPECTED)[MessageKind]][];
const oneLine = (text: string) => text.replace(/\s+/g, ' ');
const visible = (html: string) => oneLine(unescaped(html.replace(/<title>.*<\/title>/, '').replace(/<[^>]+>/g, ' ')));
const unescaped = (html: string) =>
  html
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&');

describe.each(cases)('%s', (_, { message, says, link }) => {
  const letter = compose(message, context);
  const { text, html } = layOut(letter, context.service);

  test('says what happened, when, and what to do, in both parts', () => {
    for (const pattern of [
      ...says,
      /Example Bank/,
      /\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC/,
      /if it was not you|if you /i,
    ]) {
      expect(oneLine(text)).toMatch(pattern);
      expect(visible(html)).toMatch(pattern);
    }
  });

  test('has a plain subject without anything of anybody', () => {
    expect(letter.subject).toMatch(/^[A-Z][a-z' -]+$/);
    expect(letter.subject.length).toBeLessThan(60);
    for (const secret of [TOKEN, IP, 'Canary']) expect(letter.subject).not.toContain(secret);
  });

  test(link ? 'has its link, alone on a line, as a button and as text' : 'has no link at all', () => {
    if (link === undefined) {
      expect(text + html).not.toMatch(/https?:|href/);
      return;
    }
    expect(text.split('\n').filter((line) => line.includes('://'))).toEqual([link]);
    expect([...html.matchAll(/href="([^"]+)"/g)].map(([, url]) => url)).toEqual([link, link]);
    expect(html).toContain(`>${link}</a>`);
  });

  test('has a text part of short lines and an HTML part that loads nothing', () => {
    for (const line of text.split('\n')) if (line !== link) expect(line.length).toBeLessThanOrEqual(72);
    expect(html).toMatch(/^<!DOCTYPE html>\n<html lang="en">/);
    expect(html).not.toMatch(/<img|<table|<script|<style|<link|src=|url\(/);
  });
});

test('says that a password will be asked for only where it will', () => {
  const text = (asksForPassword: boolean) =>
    layOut(compose({ kind: 'verify_email', token: TOKEN, asksForPassword }, context), 'X').text;
  expect(oneLine(text(true))).toMatch(/more than once, so the page will ask you to choose the password/);
  expect(text(false)).not.toMatch(/more than once/);
});

test('a kind that a newer build made is no letter', () => {
  for (const kind of ['telegram', 'toString', '__proto__']) {
    expect(() => compose({ kind } as never, context)).toThrow(TypeError);
  }
  expect(() => compose({ kind: 'account_locked', until: 'soon' }, context)).toThrow(RangeError);
});

// Proves ASVS 1.3.11: a mail goes to the address that was stored, and nobody writes its headers or links
describe('what a client calls itself', () => {
  const letterOf = (userAgent: string | null, ip = IP) => {
    const letter = compose({ kind: 'new_sign_in', at, ip, userAgent }, context);
    return { subject: letter.subject, ...layOut(letter, context.service) };
  };

  test('is escaped', () => {
    const { html, text } = letterOf(`<b onclick='x'>&"hi"`);
    expect(html).toContain('&lt;b onclick=&#39;x&#39;&gt;&amp;&#39;hi&#39;');
    expect(html).not.toContain('<b ');
    expect(text).toContain(`"<b onclick='x'>&'hi'"`);
  });

  test('is one line, whatever it brings', () => {
    const { text } = letterOf('a\r\nBcc: x\u2028y\u0000z\u202ecilbup\u200b!\n\n--\nGatehouse');
    expect(oneLine(text)).toContain('"a Bcc: x y z cilbup ! -- Gatehouse"');
    expect(text).not.toMatch(/^Bcc|[\u0000\u2028\u202e\u200b]/m);
    expect(text.match(/^--$/gm)).toHaveLength(1);
  });

  test.each([
    ['https://evil.example/x', 'https: //evil. example/x'],
    ['www.evil.example', 'www. evil. example'],
    ['mailto:me@evil.example', 'mailto: me at evil. example'],
    ['evil。example', 'evil。 example'],
    ['tel:555', 'tel: 555'],
    [
      'Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Firefox/115.0',
      'Mozilla/5.0 (X11; Linux x86_64; rv: 109.0) Firefox/115.0',
    ],
  ])('is no link: %s', (userAgent, shown) => {
    expect(foreignText(userAgent)).toBe(shown);
    const { html, text, subject } = letterOf(userAgent);
    expect(html).not.toContain('href');
    expect(text + html + subject).not.toMatch(/evil\.example|:\/\//);
  });

  test('is at most 200 characters, and none is cut in two', () => {
    expect([...foreignText('x'.repeat(512))]).toHaveLength(200);
    expect(foreignText('🍣'.repeat(300))).toBe('🍣'.repeat(200));
    expect(foreignText('\ud83c')).toBe('');
  });

  test('may be missing, and an address that is none is not shown', () => {
    expect(letterOf(null).text).toContain('itself: unknown');
    expect(letterOf(null, 'evil.example').text).toContain('Address: unknown');
    expect(letterOf(null, 'fe80::1%evil.example').text).toContain('Address: unknown');
  });
});

test('a token is encoded where it must be', () => {
  const { blocks } = compose({ kind: 'reset_password', token: 'a&b#c"d' }, context);
  expect(blocks).toContainEqual(
    expect.objectContaining({ url: 'https://app.example/reset-password#token=a%26b%23c%22d' }),
  );
});
