// The script of both pages; account-pages.ts has the elements and the words that it looks for. Plain JavaScript without
// imports, because the browser gets this file as it is. On load it only reads the link: who follows links without being
// asked to, a mail scanner that runs scripts for example, uses up no token.

/** @import { Browser, Field, Part } from './dom.js' */
/** @typedef {{ code?: string, errors?: { message: string }[], retryAfterSeconds?: number }} Refusal */

const LINK_IS_NO_GOOD = 'invalid_or_expired_token';
const PASSWORD_REQUIRED = 'password_required';
const TIMEOUT_MS = 30_000;
const UNREACHABLE = 'The service cannot be reached. Check your connection and try again.';
const UNEXPECTED = 'Something went wrong on our side. Try again in a moment.';

const browser = /** @type {Browser} */ (/** @type {unknown} */ (globalThis));
const page = part('page');
const message = part('message');
const action = part('action');
const passwordGroup = part('password-group');
const newPassword = field('new-password');
const toggle = part('show-password');
const renewal = part('renewal');
const email = field('email');

const token = takeToken();
let isBusy = false;

onSubmit(action, useLink);
onSubmit(renewal, askForLink);
toggle.addEventListener('click', () => showPassword(newPassword.type === 'password'));
// Another link of ours, opened in the same tab, changes the fragment only, and that loads nothing.
browser.addEventListener('hashchange', () => browser.location.reload());

if (token === '') offerNewLink('missing', 'note');
else action.hidden = false;

/**
 * Reads the token, and takes it out of the address bar and the history, where others would see it.
 *
 * @returns {string} empty when there is none.
 */
function takeToken() {
  const { hash, pathname } = browser.location;
  browser.history.replaceState(null, '', pathname);
  return new URLSearchParams(hash.slice(1)).get('token') ?? '';
}

async function useLink() {
  showPassword(false); // browsers remember what stood in a field for plain text
  const refusal = await sendToken();
  if (!refusal) finish();
  else if (refusal.code === LINK_IS_NO_GOOD) offerNewLink('expired', 'bad');
  else if (refusal.code === PASSWORD_REQUIRED) askForPassword();
  else refuse(refusal, newPassword);
}

async function sendToken() {
  const paths = wording('paths').split(' ');
  if (!passwordGroup.hidden) return post(paths[0], { token, new_password: newPassword.value });
  let refusal;
  // The links of a first and of a changed address look the same; only the service can tell which one this is.
  for (const path of paths) {
    refusal = await post(path, { token });
    if (refusal?.code !== LINK_IS_NO_GOOD) break;
  }
  return refusal;
}

async function askForLink() {
  const refusal = await post(wording('renewalPath'), { email: email.value });
  if (refusal) refuse(refusal, email);
  else say(wording('sent'), 'good');
}

function askForPassword() {
  passwordGroup.hidden = false;
  say(wording('passwordRequired'), 'note');
}

/** The form goes away, which is how a password manager sees that the password was taken. */
function finish() {
  action.hidden = true;
  newPassword.value = '';
  say(wording('done'), 'good');
}

/**
 * @param {'missing' | 'expired'} reason
 * @param {'note' | 'bad'} kind
 */
function offerNewLink(reason, kind) {
  action.hidden = true;
  newPassword.value = '';
  renewal.hidden = false;
  say(wording(reason), kind);
}

/**
 * Says why, and leaves the form as it is for another try.
 *
 * @param {Refusal} refusal
 * @param {Field} about
 */
function refuse({ code, errors, retryAfterSeconds }, about) {
  const reason = errors?.[0]?.message;
  about.setAttribute('aria-invalid', String(reason !== undefined));
  if (reason !== undefined) say(reason, 'bad');
  else if (retryAfterSeconds !== undefined) say(`That did not work. Try again ${inHowLong(retryAfterSeconds)}.`, 'bad');
  else say(code === 'unreachable' ? UNREACHABLE : UNEXPECTED, 'bad');
}

/** @param {number} seconds NaN when Retry-After was a date. */
function inHowLong(seconds) {
  if (!(seconds > 60)) return 'in a moment';
  const minutes = Math.ceil(seconds / 60);
  return minutes < 120 ? `in ${minutes} minutes` : `in ${Math.ceil(minutes / 60)} hours`;
}

/**
 * @param {string} words
 * @param {'good' | 'bad' | 'note'} kind
 */
function say(words, kind) {
  message.textContent = words;
  message.dataset['kind'] = kind;
}

/** @param {boolean} isVisible */
function showPassword(isVisible) {
  newPassword.type = isVisible ? 'text' : 'password';
  toggle.setAttribute('aria-pressed', String(isVisible));
}

/**
 * One submission at a time. Then the focus goes to what there is to read, so that keyboard and screen reader go on there.
 *
 * @param {Part} form
 * @param {() => Promise<void>} send
 */
function onSubmit(form, send) {
  const submit = async () => {
    isBusy = true;
    form.setAttribute('aria-busy', 'true');
    await send();
    form.removeAttribute('aria-busy');
    isBusy = false;
    message.focus();
  };
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (!isBusy) void submit();
  });
}

/**
 * @param {string | undefined} path relative to the page, because a proxy may serve all of this below a path of its own.
 * @param {object} body
 * @returns {Promise<Refusal | undefined>} undefined when the service has done it.
 */
async function post(path = '', body) {
  try {
    const response = await fetch(path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      credentials: 'omit',
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    return response.ok ? undefined : await readRefusal(response);
  } catch {
    return { code: 'unreachable' };
  }
}

/**
 * @param {Response} response maybe of a proxy, which does not speak JSON.
 * @returns {Promise<Refusal>}
 */
async function readRefusal(response) {
  const problem = /** @type {Refusal} */ (await response.json().catch(() => ({})));
  const retryAfter = response.headers.get('Retry-After');
  return { ...problem, ...(retryAfter !== null && { retryAfterSeconds: Number(retryAfter) }) };
}

/** @param {string} name */
function wording(name) {
  return page.dataset[name] ?? '';
}

/**
 * @param {string} id
 * @returns {Part}
 */
function part(id) {
  return /** @type {Part} */ (browser.document.getElementById(id));
}

/**
 * @param {string} id
 * @returns {Field}
 */
function field(id) {
  return /** @type {Field} */ (part(id));
}
