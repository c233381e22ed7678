import { chromium, type Browser, type BrowserContextOptions, type Page, type Request } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest';
import { RESET_LINK_SECONDS, VERIFY_LINK_SECONDS } from '../../src/mail/messages.js';
import { newAccount, startGatehouse, type Account, type Gatehouse } from '../support/gatehouse.js';

const VERIFY_MAIL = /^Confirm your e-mail address$/;
const CHANGE_MAIL = /^Confirm your new e-mail address$/;
const RESET_MAIL = /^Reset your password$/;
const NEW_PASSWORD = 'quiet walnut harbour';
const CONFIRM = 'Confirm my e-mail address';
const SAVE = 'Save the new password';
const CONFIRMED = /^Your e-mail address is confirmed/;
const SAVED = /^Your new password is saved/;
const TOO_OLD = /^This link has expired/;

let gatehouse: Gatehouse;
let browser: Browser;
let page: Page;
/** What a developer would see in red, the answers of the service aside. */
const complaints: string[] = [];
const requests: Request[] = [];
/** Of the links that the test has opened. */
const tokens: string[] = [];

beforeAll(async () => {
  gatehouse = await startGatehouse({
    EMAIL_VERIFICATION: 'required',
    MAIL_FROM: 'Example Bank <no-reply@bank.example>',
  });
  gatehouse.secrets.add(NEW_PASSWORD);
  // Chromium's sandbox refuses to run as root, as in most containers.
  const sandbox = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  const args = ['--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-sync', ...sandbox];
  browser = await chromium.launch({ executablePath: inject('chromium'), args });
});
afterAll(async () => {
  await browser?.close();
  await gatehouse?.stop();
});
afterEach(async () => {
  await Promise.all(browser.contexts().map((context) => context.close()));
  expect(complaints.splice(0)).toEqual([]);
  const urls = requests.splice(0).map((request) => request.url());
  expect(urls.filter((url) => !url.startsWith(`${gatehouse.origin}/`))).toEqual([]);
  expect(urls.filter((url) => tokens.some((token) => url.includes(token)))).toEqual([]);
});

/** A browser window of somebody else. */
async function newWindow(options: BrowserContextOptions = {}): Promise<void> {
  page = await browser.newPage({ viewport: { width: 1000, height: 800 }, ...options });
  page.setDefaultTimeout(20_000);
  await page.addInitScript(`document.addEventListener('securitypolicyviolation', (event) =>
    console.error('policy: ' + event.violatedDirective + ' refuses ' + event.blockedURI))`);
  page.on('console', (message) => {
    const isRefusal = /status of 4(22|29) /.test(message.text()); // Chromium writes each of them to the console
    if (['error', 'warning'].includes(message.type()) && !isRefusal) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(`uncaught: ${error.message}`));
  page.on('request', (request) => requests.push(request));
}

/** A click in a mail program: a new document, every time. */
async function openLink(path: '/verify-email' | '/reset-password', token?: string): Promise<void> {
  if (token !== undefined) tokens.push(token);
  await page.goto('about:blank');
  await page.goto(gatehouse.origin + path + (token === undefined ? '' : `#token=${token}`));
}

/** The page says so, and what it says has the focus. */
async function expectAnswer(words: RegExp): Promise<void> {
  await page.locator('#message:focus').filter({ hasText: words }).waitFor();
}

const press = (name: string) => page.getByRole('button', { name }).click();

const posts = () => requests.filter((request) => request.method() === 'POST');

/** Presses Tab until the named thing has the focus, as somebody without a mouse does. */
async function tabTo(name: string): Promise<void> {
  for (let i = 0; i < 10; i++) {
    await page.keyboard.press('Tab');
    const focused = page.locator(':focus');
    if ((await focused.count()) === 0) continue;
    const names = await focused.evaluate((element: any) => [element.innerText, element.labels?.[0]?.innerText]);
    if (names.includes(name)) return;
  }
  throw new Error(`the Tab key does not lead to "${name}"`);
}

async function statusOfLogin({ email, password }: Account): Promise<number> {
  return (await gatehouse.post('/auth/login', { email, password })).status;
}

/** Somebody who has signed up and whose address waits for its confirmation. */
async function signUp(account = newAccount()): Promise<Account> {
  const { status, text } = await gatehouse.post('/auth/signup', account);
  expect(status, text).toBe(202);
  return account;
}

async function signUpAndVerify(): Promise<Account> {
  const account = await signUp();
  const token = await gatehouse.mailedToken(account.email, VERIFY_MAIL);
  expect((await gatehouse.post('/auth/email/verify', { token })).status).toBe(204);
  return account;
}

async function askForReset({ email }: Account): Promise<string> {
  expect((await gatehouse.post('/auth/password/forgot', { email })).status).toBe(202);
  return gatehouse.mailedToken(email, RESET_MAIL);
}

describe('/verify-email', () => {
  // Proves ASVS 14.2.1: no secret is read from an address, and none is put into one that a server sees
  // Proves ours (Recovery and mail): a mail scanner that opens a link uses nothing up
  test('with a mouse: a look uses nothing up, the button does', async () => {
    const account = await signUp();
    const token = await gatehouse.mailedToken(account.email, VERIFY_MAIL);
    await newWindow();
    await openLink('/verify-email', token); // a scanner that runs scripts
    await openLink('/verify-email', token); // a person
    await page.waitForLoadState('networkidle');
    expect((await gatehouse.get('/verify-email')).status).toBe(200);
    expect(posts()).toEqual([]);
    expect(await statusOfLogin(account)).toBe(403);
    expect(page.url()).toBe(`${gatehouse.origin}/verify-email`);
    expect(await page.title()).toBe('Confirm your e-mail address – Example Bank');
    await screenshot('verify');

    await press(CONFIRM);
    await expectAnswer(CONFIRMED);
    expect(await page.locator('form:visible').count()).toBe(0);
    expect(posts().map((request) => request.postDataJSON() as unknown)).toEqual([{ token }]);
    expect(await statusOfLogin(account)).toBe(200);
  });

  test('with nothing but a keyboard, where a password is asked for', async () => {
    const account = await signUp();
    await signUp({ ...account, password: 'somebody else signs up' });
    const token = await gatehouse.mailedToken(account.email, VERIFY_MAIL);
    await newWindow();
    await openLink('/verify-email', token);
    await tabTo(CONFIRM);
    await page.keyboard.press('Enter');
    await expectAnswer(/choose a password/);
    await screenshot('verify-password');

    await tabTo('Choose a password');
    await page.keyboard.type('too short');
    await page.keyboard.press('Enter');
    await expectAnswer(/^Use at least 15 characters/);

    await tabTo('Choose a password'); // the browser selects what stands in a field that Tab leads to
    await page.keyboard.type(NEW_PASSWORD);
    await page.keyboard.press('Enter');
    await expectAnswer(CONFIRMED);
    expect(await statusOfLogin({ ...account, password: NEW_PASSWORD })).toBe(200);
  });

  test('the link of a changed address', async () => {
    const account = await signUpAndVerify();
    const { access_token } = await gatehouse.logIn(account);
    const changed = { ...account, email: newAccount().email };
    const body = { current_password: account.password, new_email: changed.email };
    expect((await gatehouse.post('/users/me/email', body, { token: access_token })).status).toBe(202);
    await newWindow();
    await openLink('/verify-email', await gatehouse.mailedToken(changed.email, CHANGE_MAIL));
    await press(CONFIRM);
    await expectAnswer(CONFIRMED);
    expect(await statusOfLogin(changed)).toBe(200);
  });

  test('a link that is too old offers a new one', async () => {
    const account = await signUp();
    const token = await gatehouse.mailedToken(account.email, VERIFY_MAIL);
    gatehouse.passSeconds(VERIFY_LINK_SECONDS + 1);
    await newWindow();
    await openLink('/verify-email', token);
    await press(CONFIRM);
    await expectAnswer(TOO_OLD);
    await screenshot('expired');

    await tabTo('E-mail address');
    await page.keyboard.type(account.email);
    await page.keyboard.press('Enter');
    await expectAnswer(/a new link is on its way/);
    await openLink('/verify-email', await gatehouse.mailedToken(account.email, VERIFY_MAIL));
    await press(CONFIRM);
    await expectAnswer(CONFIRMED);
  });
});

describe('/reset-password', () => {
  test('a refused password leaves the link as good as it was', async () => {
    const account = await signUpAndVerify();
    const token = await askForReset(account);
    await newWindow();
    await openLink('/reset-password', token);
    expect(page.url()).toBe(`${gatehouse.origin}/reset-password`);
    await screenshot('reset');

    for (const [refused, reason] of [
      ['', /^Use at least 15 characters/],
      [account.email, /your e-mail address/],
      [account.password, /not one of your last/],
    ] as const) {
      await page.getByLabel('New password').fill(refused);
      await press(SAVE);
      await expectAnswer(reason);
      expect(await page.getByLabel('New password').getAttribute('aria-invalid')).toBe('true');
    }
    await screenshot('reset-refused');

    await page.getByLabel('New password').fill(NEW_PASSWORD);
    await page.keyboard.press('Enter');
    await expectAnswer(SAVED);
    expect(await page.locator('form:visible').count()).toBe(0);
    expect(await statusOfLogin(account)).toBe(401);
    expect(await statusOfLogin({ ...account, password: NEW_PASSWORD })).toBe(200);
  });

  // Proves ASVS 6.2.6: a password field hides what is typed, and shows it to whoever wants to see it
  test('the password can be looked at, until it is sent', async () => {
    await newWindow();
    await openLink('/reset-password', 'not-one-of-ours');
    const field = page.getByLabel('New password');
    const toggle = page.locator('#show-password');
    expect(await toggle.innerText()).toBe('Show password');
    const state = async () => [await field.getAttribute('type'), await toggle.getAttribute('aria-pressed')];
    expect(await state()).toEqual(['password', 'false']);
    await toggle.click();
    expect(await state()).toEqual(['text', 'true']);
    await toggle.click();
    expect(await state()).toEqual(['password', 'false']);

    await toggle.click();
    await field.fill(NEW_PASSWORD);
    await press(SAVE);
    await expectAnswer(TOO_OLD);
    expect(await state()).toEqual(['password', 'false']);
    expect(await field.inputValue()).toBe('');
  });

  // Proves ASVS 6.2.7: password managers find what they look for
  test('password managers find what they look for', async () => {
    await newWindow();
    await openLink('/reset-password', 'not-one-of-ours');
    const field = page.getByLabel('New password');
    expect(await field.getAttribute('autocomplete')).toBe('new-password');
    expect(await field.getAttribute('passwordrules')).toMatch(/^minlength: 15;/);
    expect(await page.locator('form:visible input').count()).toBe(1);
  });

  test('a link that is too old offers a new one', async () => {
    const account = await signUpAndVerify();
    const token = await askForReset(account);
    gatehouse.passSeconds(RESET_LINK_SECONDS + 1);
    await newWindow();
    await openLink('/reset-password', token);
    await page.getByLabel('New password').fill(NEW_PASSWORD);
    await press(SAVE);
    await expectAnswer(TOO_OLD);
    await page.getByLabel('E-mail address').fill(account.email);
    await press('Send me a new link');
    await expectAnswer(/a new link is on its way/);
    await openLink('/reset-password', await gatehouse.mailedToken(account.email, RESET_MAIL));
    await page.getByLabel('New password').fill(NEW_PASSWORD);
    await press(SAVE);
    await expectAnswer(SAVED);
  });
});

describe('both pages', () => {
  const PAGES = ['/verify-email', '/reset-password'] as const;

  test.each(PAGES)('%s without a link says where to get one, and asks no address that is none', async (path) => {
    await newWindow();
    await openLink(path);
    expect(await page.locator('#message').innerText()).toMatch(/^This page needs the link of our mail/);
    await press('Send me a new link');
    await page.getByLabel('E-mail address').fill('not an address');
    await press('Send me a new link');
    expect(await page.locator('#email:invalid').count()).toBe(1);
    expect(posts()).toEqual([]);
  });

  test('a reload forgets the link; the mail still has it', async () => {
    const account = await signUp();
    const token = await gatehouse.mailedToken(account.email, VERIFY_MAIL);
    await newWindow();
    await openLink('/verify-email', token);
    await page.reload();
    expect(await page.locator('#message').innerText()).toMatch(/^This page needs the link/);
    // In the same tab: only the fragment changes.
    await page.evaluate(`location.hash = 'token=${token}'`);
    await press(CONFIRM);
    await expectAnswer(CONFIRMED);
    expect(page.url()).toBe(`${gatehouse.origin}/verify-email`);
  });

  test('no connection, or a proxy that answers instead of us: the form stays, and works afterwards', async () => {
    const account = await signUp();
    await newWindow();
    await openLink('/verify-email', await gatehouse.mailedToken(account.email, VERIFY_MAIL));
    await page.context().setOffline(true);
    await press(CONFIRM);
    await expectAnswer(/cannot be reached/);
    await page.context().setOffline(false);
    for (const [seconds, wait] of [
      ['30', 'in a moment'],
      ['90', 'in 2 minutes'],
      ['7200', 'in 2 hours'],
      ['Sun, 22 Nov 2026 12:00:00 GMT', 'in a moment'],
    ] as const) {
      const busy = {
        status: 503,
        headers: { 'Retry-After': seconds },
        contentType: 'text/html',
        body: '<h1>Busy</h1>',
      };
      await page.route('**/auth/**', (route) => route.fulfill(busy), { times: 1 });
      await press(CONFIRM);
      await expectAnswer(new RegExp(`Try again ${wait}\\.$`));
    }
    expect(complaints.splice(0)).toEqual([
      expect.stringContaining('ERR_INTERNET_DISCONNECTED'),
      ...Array.from({ length: 4 }, () => expect.stringContaining('status of 503')),
    ]);
    await press(CONFIRM);
    await expectAnswer(CONFIRMED);
  });

  // Proves ASVS 3.4.1, ASVS 3.4.4, ASVS 3.4.5, ASVS 3.4.6: security headers on every answer, also on what is not HTTP
  test.each(PAGES)('%s has a strict policy, and its parts the right types', async (path) => {
    const answer = await gatehouse.get(path);
    const policy = answer.headers.get('content-security-policy') ?? '';
    expect(policy.split(';')).toEqual([
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "connect-src 'self'",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ]);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      'x-robots-tag': 'noindex',
      'cache-control': 'no-store',
    });
    const types = { 'account-page.js': 'text/javascript', 'account-page.css': 'text/css' };
    for (const [name, type] of Object.entries(types)) {
      const { status, headers } = await gatehouse.get(`/assets/${name}`);
      expect([status, headers.get('content-type')]).toEqual([200, `${type}; charset=utf-8`]);
      expect(answer.text).toContain(`"assets/${name}"`);
    }
  });

  const LOOKS = PAGES.flatMap((path) => [
    { path, colorScheme: 'light' as const },
    { path, colorScheme: 'dark' as const },
  ]);

  test.each(LOOKS)('$path, $colorScheme, 320 pixels wide: one heading, nothing without a name', async (look) => {
    const { path, colorScheme } = look;
    await newWindow({ viewport: { width: 320, height: 640 }, colorScheme });
    for (const token of [undefined, 'not-one-of-ours']) {
      await openLink(path, token);
      expect(await page.locator('html').getAttribute('lang')).toBe('en');
      expect(await page.getByRole('heading', { level: 1 }).count()).toBe(1);
      expect(await page.getByRole('alert').count()).toBe(1);
      const unnamed = `[...document.querySelectorAll('input')].filter((input) => input.labels.length === 0).length`;
      expect(await page.evaluate(unnamed)).toBe(0);
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(320);
      const background = await page.evaluate('getComputedStyle(document.body).backgroundColor');
      expect(background).toBe(colorScheme === 'light' ? 'rgb(244, 245, 247)' : 'rgb(20, 23, 26)');
      await screenshot(`${path.slice(1)}-320-${colorScheme}-${token ? 'link' : 'no-link'}`);
    }
  });

  test.each(PAGES)('%s says so where scripts are off', async (path) => {
    await newWindow({ javaScriptEnabled: false });
    await openLink(path, 'not-one-of-ours');
    expect(await page.locator('main').innerText()).toContain('This page needs JavaScript');
    expect(await page.locator('form:visible').count()).toBe(0);
  });
});

/** For the eyes: only where SCREENSHOTS names a folder. */
async function screenshot(name: string): Promise<void> {
  const folder = process.env['SCREENSHOTS'];
  if (folder) await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
}
