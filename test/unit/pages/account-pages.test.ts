import { expect, test } from 'vitest';
import { resetPasswordPage, verifyEmailPage } from '../../../src/pages/account-pages.js';
import { html } from '../../../src/pages/layout.js';

const settings = {
  mailFrom: `Bücher & O'Söhne <post@example.com>`,
  publicUrl: 'https://example.com',
  passwordMinLength: 17,
};

test('values are escaped, markup is not escaped again', () => {
  const text = html`<b title="${`"'`}">${'<script>&'}</b>`;
  expect(html`<p>${text}</p>`.markup).toBe('<p><b title="&quot;&#39;">&lt;script&gt;&amp;</b></p>');
});

test('both pages name the service and the length that the policy asks for', () => {
  for (const page of [verifyEmailPage(settings), resetPasswordPage(settings)]) {
    expect(page).toMatch(/^<!doctype html>/);
    expect(page).toContain('<header>Bücher &amp; O&#39;Söhne</header>');
    expect(page).toContain('At least 17 characters');
    expect(page).toContain('passwordrules="minlength: 17;');
  }
});

test('addresses are relative, for a PUBLIC_URL with a path', () => {
  for (const page of [verifyEmailPage(settings), resetPasswordPage(settings)]) {
    expect(page.match(/(?:src|href|data-paths|data-renewal-path)="\/|https?:/)).toBeNull();
  }
});
