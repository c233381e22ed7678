import type { Config } from '../config/config.js';
import { serviceName } from '../config/service-name.js';
import { html, layout, type Html } from './layout.js';

/** What the pages say depends on these settings. */
export type PageSettings = Pick<Config, 'mailFrom' | 'publicUrl' | 'passwordMinLength'>;

/** What the two pages differ in. */
interface AccountPage {
  title: string;
  intro: string;
  passwordLabel: string;
  /** Whether the password is asked for only when the service wants one. */
  isPasswordHidden: boolean;
  button: string;
  /** Where the token is sent: to the first, and to the next where it is not known. With a password, to the first only. */
  paths: string;
  /** Where an address is sent to get a new link. */
  renewalPath: string;
  /** What account-page.js says when the link has done its work. */
  done: string;
  expired: string;
  /** … when a new link was asked for. */
  sent: string;
}

/** The page that VERIFY_URL means: a new address, at sign-up or later. */
export function verifyEmailPage(settings: PageSettings): string {
  return accountPage(settings, {
    title: 'Confirm your e-mail address',
    intro:
      'Press the button to confirm that this address is yours. If you did not ask for this, close the page instead.',
    passwordLabel: 'Choose a password',
    isPasswordHidden: true,
    button: 'Confirm my e-mail address',
    paths: 'auth/email/verify auth/email/confirm-change',
    renewalPath: 'auth/email/resend',
    done: 'Your e-mail address is confirmed. You can close this page.',
    expired:
      'This link has expired, was used before, or there is a newer one. If you have confirmed your address already, there ' +
      'is nothing left to do. For a new account, get a new link here. If you are changing your address, start the change ' +
      'again.',
    sent: 'If an account waits for this address to be confirmed, a new link is on its way. Look into your spam folder too.',
  });
}

/** The page that RESET_URL means. */
export function resetPasswordPage(settings: PageSettings): string {
  return accountPage(settings, {
    title: 'Choose a new password',
    intro: 'With the new password the old one stops working, and every device is logged out.',
    passwordLabel: 'New password',
    isPasswordHidden: false,
    button: 'Save the new password',
    paths: 'auth/password/reset',
    renewalPath: 'auth/password/forgot',
    done: 'Your new password is saved. You can close this page, and log in with it.',
    expired: 'This link has expired, was used before, or there is a newer one. Get a new link here.',
    sent: 'If there is an account with this address, a new link is on its way. Look into your spam folder too.',
  });
}

function accountPage(settings: PageSettings, page: AccountPage): string {
  const main = html`
    <main
      id="page"
      data-paths="${page.paths}"
      data-renewal-path="${page.renewalPath}"
      data-done="${page.done}"
      data-expired="${page.expired}"
      data-missing="This page needs the link of our mail. Open it there once more, or get a new link here."
      data-password-required="One thing is missing: choose a password for your account, then press the button again."
      data-sent="${page.sent}"
    >
      <h1>${page.title}</h1>
      <noscript>This page needs JavaScript. Allow it for this page, or open the link in another browser.</noscript>
      <p id="message" role="alert" tabindex="-1"></p>
      ${actionForm(settings, page)} ${renewalForm()}
    </main>
  `;
  return layout(page.title, serviceName(settings), main);
}

/** The fields of both forms have no names: only the script can send them, whatever else happens to it. */
function actionForm({ passwordMinLength }: PageSettings, page: AccountPage): Html {
  return html`
    <form id="action" method="post" novalidate hidden>
      <p>${page.intro}</p>
      <div id="password-group" ${page.isPasswordHidden ? 'hidden' : ''}>
        <label for="new-password">${page.passwordLabel}</label>
        <ul id="password-policy">
          <li>At least ${passwordMinLength} characters; a few words work well.</li>
          <li>Every character is allowed, spaces too.</li>
          <li>Common passwords and your e-mail address are refused.</li>
        </ul>
        <div class="with-button">
          <input
            id="new-password"
            type="password"
            autocomplete="new-password"
            passwordrules="minlength: ${passwordMinLength}; allowed: ascii-printable;"
            aria-describedby="message password-policy"
            aria-invalid="false"
            autocapitalize="none"
            autocorrect="off"
            spellcheck="false"
            required
          />
          <button id="show-password" type="button" aria-controls="new-password" aria-pressed="false">
            Show password
          </button>
        </div>
      </div>
      <button type="submit">${page.button}</button>
    </form>
  `;
}

/** The browser itself checks this form: the service says the same to every address, also to what is none. */
function renewalForm(): Html {
  return html`
    <form id="renewal" method="post" hidden>
      <label for="email">E-mail address</label>
      <input id="email" type="email" autocomplete="email" aria-describedby="message" aria-invalid="false" required />
      <button type="submit">Send me a new link</button>
    </form>
  `;
}
