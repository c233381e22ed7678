import { chromium, type Browser, type Locator, type Page, type Request } from 'playwright-core';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { newAccount, startGatehouse, type Account, type Gatehouse } from '../support/gatehouse.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** Path of the browser. */
    chromium: string;
  }
}

const RUNNING = process.env['GATEHOUSE_URL']?.replace(/\/+$/, '');
const ARGUMENTS = [
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

let gatehouse: Gatehouse | undefined;
let origin: string;
let browser: Browser;
let page: Page;
/** What a developer would see in red: console, uncaught errors, the content security policy, requests that fail. */
const complaints: string[] = [];
const requests: Request[] = [];

beforeAll(async () => {
  if (!RUNNING) gatehouse = await startGatehouse();
  origin = new URL(RUNNING ?? (gatehouse as Gatehouse).origin).origin;
  // Chromium's sandbox refuses to run as root, as in most containers.
  const args = process.getuid?.() === 0 ? [...ARGUMENTS, '--no-sandbox'] : ARGUMENTS;
  browser = await chromium.launch({ executablePath: inject('chromium'), args });
  page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  page.setDefaultTimeout(30_000);
  await page.addInitScript(`document.addEventListener('securitypolicyviolation', (event) =>
    console.error('policy: ' + event.violatedDirective + ' refuses ' + event.blockedURI))`);
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') {
      complaints.push(`${message.text()} (${message.location().url})`);
    }
  });
  page.on('pageerror', (error) => complaints.push(`uncaught: ${error.message}`));
  page.on('requestfailed', (request) => complaints.push(`failed: ${request.url()} ${request.failure()?.errorText}`));
  page.on('request', (request) => requests.push(request));
});
afterAll(async () => {
  await browser?.close();
  await gatehouse?.stop();
});

/** The block of one operation, opened. */
async function open(method: string, path: string): Promise<Locator> {
  const block = page.locator(`.opblock-${method}`).filter({
    has: page.locator(`.opblock-summary-path[data-path="${path}"]`),
  });
  if (!(await block.locator('.execute').isVisible())) await block.locator('.opblock-summary-control').click();
  await block.locator('.execute').waitFor();
  return block;
}

/** Presses Execute, and reads what the page then shows as the answer of the server. */
async function execute(block: Locator): Promise<{ status: number; text: string; request: Request }> {
  const path = (await block.locator('.opblock-summary-path').getAttribute('data-path')) as string;
  const pattern = new RegExp(`^${path.replaceAll('.', '\\.').replace(/\{[^}]+\}/g, '[^/]+')}$`);
  const answered = page.waitForResponse((response) => pattern.test(new URL(response.url()).pathname));
  await block.locator('.execute').click();
  const answer = await answered;
  const shown = block.locator('.live-responses-table .response-col_status').last();
  await expect.poll(async () => Number.parseInt(await shown.innerText()), { timeout: 30_000 }).toBe(answer.status());
  const body = block.locator('.live-responses-table .response-col_description .highlight-code pre').first();
  return {
    status: answer.status(),
    text: (await body.count()) > 0 ? await body.innerText() : '',
    request: answer.request(),
  };
}

async function authorize(token: string): Promise<void> {
  await page.locator('.auth-wrapper .btn.authorize').click();
  const dialog = page.locator('.dialog-ux');
  await dialog.waitFor();
  const logout = dialog.getByText('Logout', { exact: true });
  if (await logout.isVisible()) await logout.click();
  const bearer = dialog.locator('form').filter({ has: page.locator('#auth-bearer-value') }); // beside that for services
  await bearer.locator('input').fill(token);
  await bearer.locator('button[type=submit]').click();
  await dialog.getByRole('button', { name: 'Close' }).first().click();
}

/** The account of the examples, as they stand in the page; on a server that may have it already, another. */
async function fillIn(block: Locator, account: Account | undefined): Promise<void> {
  const body = block.locator('textarea.body-param__text');
  const example = { email: 'ada@example.com', password: 'violet kettle gravel' };
  expect(JSON.parse(await body.inputValue())).toMatchObject(example);
  if (account) await body.fill(JSON.stringify({ email: account.email, password: account.password }));
}

test('Swagger UI: sign up, log in, authorize, use the token, reload, refresh, log out', async ({ onTestFailed }) => {
  onTestFailed(() => console.log('What the page complained about:', complaints));
  const account = RUNNING ? newAccount() : undefined;
  const email = account?.email ?? 'ada@example.com';
  await page.goto(`${origin}/docs`);
  await page.locator('.opblock').first().waitFor();
  await screenshot('overview');

  const signup = await open('post', '/auth/signup');
  await fillIn(signup, account);
  expect(await execute(signup)).toMatchObject({ status: 201, text: expect.stringContaining(email) });
  await signup.locator('.opblock-summary-control').click();

  const login = await open('post', '/auth/login');
  await fillIn(login, account);
  const opened = await execute(login);
  expect(opened.status).toBe(200);
  const { access_token, refresh_token } = JSON.parse(opened.text);
  await screenshot('login');
  await login.locator('.opblock-summary-control').click();

  await authorize(access_token);
  expect(await execute(await open('get', '/users/me'))).toMatchObject({
    status: 200,
    text: expect.stringContaining(email),
  });

  await page.reload();
  expect(await execute(await open('get', '/users/me')), 'still authorized').toMatchObject({
    status: 200,
    text: expect.stringContaining(email),
  });
  await screenshot('me');
  for (const path of ['/auth/sessions', '/.well-known/jwks.json', '/health/live', '/health/ready']) {
    expect(await execute(await open('get', path)), path).toMatchObject({ status: 200 });
  }

  const refresh = await open('post', '/auth/refresh');
  await refresh.locator('textarea.body-param__text').fill(JSON.stringify({ refresh_token }));
  expect(await execute(refresh)).toMatchObject({ status: 200, text: expect.stringContaining('access_token') });

  const logout = await open('post', '/auth/logout');
  expect(JSON.parse(await logout.locator('textarea.body-param__text').inputValue())).toEqual({});
  expect(await execute(logout)).toMatchObject({ status: 204, text: '' });
  await screenshot('logout');
  expect(complaints).toEqual([]);

  expect(await execute(await open('get', '/users/me'))).toMatchObject({
    status: 401,
    text: expect.stringContaining('"invalid_token"'),
  });
  // Chromium writes every 401 to the console; this one is the point.
  expect(complaints.splice(0)).toEqual([expect.stringMatching(/status of 401 .*\/users\/me\)$/)]);

  const loginAgain = await open('post', '/auth/login');
  await fillIn(loginAgain, account);
  const again = await execute(loginAgain);
  await authorize(JSON.parse(again.text).access_token);
  const elsewhere = await execute(loginAgain);
  const other = JSON.parse(Buffer.from(JSON.parse(elsewhere.text).access_token.split('.')[1], 'base64url').toString());
  const end = await open('delete', '/auth/sessions/{id}');
  await end.locator('.parameters input').fill(other.sid);
  const withoutBody = [await execute(end), await execute(await open('post', '/auth/logout-all'))];
  for (const { status, request } of withoutBody) {
    expect({ status, body: request.postData(), type: request.headers()['content-type'] }).toEqual({
      status: 204,
      body: null,
      type: undefined,
    });
  }

  expect(complaints).toEqual([]);
  const foreign = requests.map((request) => request.url()).filter((url) => !url.startsWith(`${origin}/`));
  expect(foreign.filter((url) => !url.startsWith('data:'))).toEqual([]);
}, 120_000);

/** For the eyes: only where SCREENSHOTS names a folder. */
async function screenshot(name: string): Promise<void> {
  const folder = process.env['SCREENSHOTS'];
  if (folder) await page.screenshot({ path: `${folder}/swagger-${name}.png` });
}
