import { isIP } from 'node:net';
import { plusSeconds } from '../common/clock.js';

/** Life of the link in `verify_email` and `confirm_email_change`, in seconds. */
export const VERIFY_LINK_SECONDS = 86_400;
/** Life of the link in `reset_password`, in seconds. */
export const RESET_LINK_SECONDS = 1_800;

/**
 * What can be told to a person, as it is stored: never finished text, so a mail reads as the build that sends it has it.
 * `at` and `until` are instants in ISO 8601; what happens when the message is stored needs none.
 */
export type Message =
  /** `asksForPassword`: the address was signed up more than once, so the page asks for a password. */
  | { kind: 'verify_email'; token: string; asksForPassword: boolean }
  /** To the owner of the account that a sign-up met. */
  | { kind: 'signup_attempted' }
  | { kind: 'reset_password'; token: string }
  | { kind: 'password_changed' }
  /** To the new address. */
  | { kind: 'confirm_email_change'; token: string }
  /** To the present address. */
  | { kind: 'email_change_requested' }
  /** To the owner of the account whose address somebody else wanted to change to. */
  | { kind: 'email_change_attempted' }
  /** To the former and to the new address. */
  | { kind: 'email_changed' }
  /** `userAgent` is what the client calls itself: anybody's text. */
  | { kind: 'new_sign_in'; at: string; ip: string; userAgent: string | null }
  | { kind: 'account_locked'; until: string }
  /** After a hundred wrong passwords in a row. */
  | { kind: 'password_blocked' }
  /** The password that the person has just logged in with is in lists of breached ones. */
  | { kind: 'password_breached' }
  | { kind: 'refresh_token_replayed'; at: string }
  | { kind: 'account_deleted' };

export type MessageKind = Message['kind'];

/** A part of a letter, in the order in which it is read. All of it is plain text: the layout escapes. */
export type Block =
  | { type: 'paragraph'; text: string }
  | { type: 'link'; label: string; url: string }
  | { type: 'details'; rows: [term: string, value: string][] };

export interface Letter {
  /** One of a fixed few: no token, no personal data, nothing that anybody typed. */
  subject: string;
  blocks: Block[];
}

/** What a letter is made with, besides the message. */
export interface LetterContext {
  /** The service's name for people. */
  service: string;
  verifyUrl: string;
  resetUrl: string;
  /** When the message was stored, which is when the thing happened. */
  storedAt: Date;
}

/**
 * The letter of a message.
 *
 * @throws TypeError when this build does not know its kind, RangeError when an instant in it is none.
 */
export function compose(message: Message, context: LetterContext): Letter {
  if (!Object.hasOwn(LETTERS, message.kind)) throw new TypeError('a kind of message that this build does not know');
  const write = LETTERS[message.kind] as (message: Message, facts: Facts) => Letter;
  return write(message, { ...context, now: instant(context.storedAt) });
}

interface Facts extends LetterContext {
  /** `storedAt` in words. */
  now: string;
}

const LETTERS: { [K in MessageKind]: (message: Extract<Message, { kind: K }>, facts: Facts) => Letter } = {
  verify_email: ({ token, asksForPassword }, { service, now, storedAt, verifyUrl }) =>
    letter('Confirm your e-mail address', [
      `Somebody, most likely you, signed up for ${service} with this address on ${now}.`,
      `Open this link to confirm that the address is yours. ${lifeOf(VERIFY_LINK_SECONDS, storedAt)}`,
      linkTo('Confirm this address', verifyUrl, token),
      asksForPassword &&
        'The address was signed up more than once, so the page will ask you to choose the password. None of those that ' +
          'were entered before will be valid.',
      'If it was not you, do not open the link, and ignore this message: as long as nobody opens it, the account cannot ' +
        'be used.',
    ]),

  signup_attempted: (_, { service, now }) =>
    letter('You already have an account', [
      `On ${now} somebody tried to sign up for ${service} with this address.`,
      'There is an account with it, so no other was made. Nothing has changed.',
      'If it was you: log in with the password that you have, or choose "Forgot password" where you log in.',
      NOBODY_WAS_TOLD,
    ]),

  reset_password: ({ token }, { service, now, storedAt, resetUrl }) =>
    letter('Reset your password', [
      `Somebody, most likely you, asked on ${now} for a new password for the account at ${service} with this address.`,
      `Open this link to choose one. ${lifeOf(RESET_LINK_SECONDS, storedAt)}`,
      linkTo('Choose a new password', resetUrl, token),
      'If it was not you, do not open the link, and ignore this message: your password stays as it is. Give the link to ' +
        'nobody, whoever asks for it.',
    ]),

  password_changed: (_, { service, now }) =>
    letter('Your password was changed', [
      `The password of your account at ${service} was changed on ${now}.`,
      NOTHING_TO_DO,
      takeBack(service),
    ]),

  confirm_email_change: ({ token }, { service, now, storedAt, verifyUrl }) =>
    letter('Confirm your new e-mail address', [
      `Somebody, most likely you, asked on ${now} to use this address for an account at ${service} from now on.`,
      `Open this link to confirm that the address is yours. ${lifeOf(VERIFY_LINK_SECONDS, storedAt)}`,
      linkTo('Confirm this address', verifyUrl, token),
      'If it was not you, do not open the link, and ignore this message: without it the address is not used.',
    ]),

  email_change_requested: (_, { service, now }) =>
    letter('A change of your e-mail address was asked for', [
      `On ${now} somebody who was logged in to your account at ${service} asked for another e-mail address. A link was ` +
        'sent to that one. Until it is opened, your account stays with this address.',
      NOTHING_TO_DO,
      takeBack(service),
    ]),

  email_change_attempted: (_, { service, now }) =>
    letter('Somebody tried to use your e-mail address', [
      `On ${now} somebody who was logged in to another account at ${service} asked to use this address for it. It is ` +
        'the address of your account, so it was not given. Nothing has changed.',
      'If it was you: you have two accounts. Log in with this address to use this one.',
      NOBODY_WAS_TOLD,
    ]),

  email_changed: (_, { service, now }) =>
    letter('Your e-mail address was changed', [
      `The e-mail address of an account at ${service} was changed on ${now}. This message goes to the former and to the ` +
        'new address.',
      NOTHING_TO_DO,
      `If it was not you, somebody else can use the account. Write to those who run ${service} at once: "Forgot ` +
        'password" now sends its link to the new address.',
    ]),

  new_sign_in: ({ at, ip, userAgent }, { service }) =>
    letter('New sign-in to your account', [
      `Somebody logged in to your account at ${service} from a place or with a program that is new to it.`,
      {
        type: 'details',
        rows: [
          ['When', instant(new Date(at))],
          ['Address', addressText(ip)],
          ['Program, as it calls itself', userAgent === null ? 'unknown' : `"${foreignText(userAgent)}"`],
        ],
      },
      NOTHING_TO_DO,
      takeBack(service),
    ]),

  account_locked: ({ until }, { service, now }) =>
    letter('Logging in to your account is locked for a while', [
      `Wrong passwords were entered many times for your account at ${service}, the last one on ${now}. Until ` +
        `${instant(new Date(until))} logging in is refused, with the right password too, except perhaps where you have ` +
        'logged in before. Open sessions stay open.',
      'If it was you: wait until then, or choose "Forgot password" where you log in, and set a new one.',
      'If it was not you, somebody is guessing, and has not guessed it. If you use the password elsewhere too, or it is a ' +
        'short one, set another: choose "Forgot password" where you log in.',
    ]),

  password_blocked: (_, { service, now }) =>
    letter('Your password is no longer accepted', [
      `A hundred wrong passwords in a row were entered for your account at ${service}, the last one on ${now}. From now ` +
        'on the password is refused, the right one too, except perhaps where you have logged in before.',
      'To use your account again, choose "Forgot password" where you log in, and set a new password. Open sessions stay ' +
        'open.',
      'If it was not you, somebody is guessing, and has not guessed it.',
    ]),

  password_breached: (_, { service, now }) =>
    letter('Your password is known to others', [
      `The password that you logged in to ${service} with on ${now} is in a list of passwords that were stolen elsewhere. ` +
        'Attackers try such lists. Nothing says that anybody has tried yours.',
      `Change it soon, here and wherever else you use it. Go to ${service} the way you always do, and choose one that you ` +
        'use nowhere else.',
      'This message comes once for a password.',
      takeBack(service),
    ]),

  refresh_token_replayed: ({ at }, { service }) =>
    letter('A session of your account was ended', [
      `On ${instant(new Date(at))} something that keeps you logged in to ${service} was used a second time, as a copy of ` +
        'it would be. The session was ended, and you have to log in again there.',
      'If you restored a backup or copied a browser profile, that was the reason, and there is nothing to do.',
      takeBack(service),
    ]),

  account_deleted: (_, { service, now }) =>
    letter('Your account was deleted', [
      `Your account at ${service} was deleted on ${now}. Nobody can log in to it any more.`,
      NOTHING_TO_DO,
      `If it was not you, write to those who run ${service} at once.`,
    ]),
};

const NOTHING_TO_DO = 'If it was you, there is nothing to do.';
const NOBODY_WAS_TOLD =
  'If it was not you, there is nothing to do. Whoever tried was not told that you have an account.';

/** No link: whoever learns from us to follow links to a login follows those of others too. */
const takeBack = (service: string) =>
  `If it was not you, somebody else can use your account. Go to ${service} the way you always do, choose "Forgot ` +
  'password" and set a new password at once. Then log in, and end every session that you do not know.';

function letter(subject: string, parts: (string | Block | false)[]): Letter {
  const blocks = parts
    .filter((part) => part !== false)
    .map((part): Block => (typeof part === 'string' ? { type: 'paragraph', text: part } : part));
  return { subject, blocks };
}

/** The token is in the fragment, which browsers send to no server, not as a Referer either (RFC 9110, section 10.1.3). */
function linkTo(label: string, page: string, token: string): Block {
  return { type: 'link', label, url: `${page}#token=${encodeURIComponent(token)}` };
}

function lifeOf(seconds: number, from: Date): string {
  const length = seconds < 7_200 ? `${seconds / 60} minutes` : `${seconds / 3_600} hours`;
  return `It works once, for ${length}: until ${instant(plusSeconds(from, seconds))}.`;
}

/** `2026-11-22 12:00:05 UTC`. */
function instant(at: Date): string {
  return at.toISOString().replace(/^(.+)T(.+)\.\d+Z$/, '$1 $2 UTC');
}

function addressText(ip: string): string {
  return isIP(ip) !== 0 && !ip.includes('%') ? ip : 'unknown'; // a zone is free text
}

const FOREIGN_TEXT_LENGTH = 200;

/**
 * Anybody's text, as one line of at most 200 characters that can stand in our name: no control, format or line-breaking
 * character, no quotation mark, and a space in what a mail program would make a link of (`https://`, `name.example`, `a@b`).
 */
export function foreignText(text: string): string {
  const line = text
    .replace(/[\p{C}\p{Z}]+/gu, ' ')
    .replace(/"/g, "'")
    .replace(/:(?=\S)/g, ': ')
    .replace(/([.\u3002\uff0e\uff61])(?=[^\d\s])/g, '$1 ')
    .replace(/@/g, ' at ');
  return [...line.trim()].slice(0, FOREIGN_TEXT_LENGTH).join('').trim();
}
