import { isIP } from 'node:net';
import { plusSeconds } from '../common/clock.js';

/** Life of the link in `verify_email` and `confirm_email_change`, in seconds. */
export const VERIFY_LINK_SECONDS = 86_400;
/** Life of the link in `reset_password`, in seconds. */
export const RESET_LINK_SECONDS = 1_800;

/**
 * What can be told to a person, as it is stored: never finished text, so that a mail reads as the build that sends it has
 * it. `at` and `until` are instants in ISO 8601. What happens when the message is stored needs no `at`.
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
 * @throws RangeError when an instant of the message is none, TypeError when this build does not know its kind.
 */
export function compose(message: Message, context: LetterContext): Letter {
  const { service, storedAt } = context;
  const at = instant(storedAt);
  switch (message.kind) {
    case 'verify_email':
      return {
        subject: 'Confirm your e-mail address',
        blocks: [
          paragraph(`Somebody, most likely you, signed up for ${service} with this address on ${at}.`),
          paragraph(`Open this link to confirm that the address is yours. ${lifeOf(VERIFY_LINK_SECONDS, storedAt)}`),
          link('Confirm this address', context.verifyUrl, message.token),
          ...(message.asksForPassword
            ? [
                paragraph(
                  'The address was signed up more than once, so the page will ask you to choose the password. None of those ' +
                    'that were entered before will be valid.',
                ),
              ]
            : []),
          paragraph(
            'If it was not you, do not open the link, and ignore this message: as long as nobody opens it, the account ' +
              'cannot be used.',
          ),
        ],
      };
    case 'signup_attempted':
      return {
        subject: 'You already have an account',
        blocks: [
          paragraph(`On ${at} somebody tried to sign up for ${service} with this address.`),
          paragraph('There is an account with it, so no other was made. Nothing has changed.'),
          paragraph(
            'If it was you: log in with the password that you have, or choose "Forgot password" where you log in.',
          ),
          paragraph('If it was not you, there is nothing to do. Whoever tried was not told that you have an account.'),
        ],
      };
    case 'reset_password':
      return {
        subject: 'Reset your password',
        blocks: [
          paragraph(
            `Somebody, most likely you, asked on ${at} for a new password for the account at ${service} with this address.`,
          ),
          paragraph(`Open this link to choose one. ${lifeOf(RESET_LINK_SECONDS, storedAt)}`),
          link('Choose a new password', context.resetUrl, message.token),
          paragraph(
            'If it was not you, do not open the link, and ignore this message: your password stays as it is. Give the ' +
              'link to nobody, whoever asks for it.',
          ),
        ],
      };
    case 'password_changed':
      return {
        subject: 'Your password was changed',
        blocks: [
          paragraph(`The password of your account at ${service} was changed on ${at}.`),
          paragraph('If it was you, there is nothing to do.'),
          takeBack(service),
        ],
      };
    case 'confirm_email_change':
      return {
        subject: 'Confirm your new e-mail address',
        blocks: [
          paragraph(
            `Somebody, most likely you, asked on ${at} to use this address for an account at ${service} from now on.`,
          ),
          paragraph(`Open this link to confirm that the address is yours. ${lifeOf(VERIFY_LINK_SECONDS, storedAt)}`),
          link('Confirm this address', context.verifyUrl, message.token),
          paragraph(
            'If it was not you, do not open the link, and ignore this message: without it the address is not used.',
          ),
        ],
      };
    case 'email_change_requested':
      return {
        subject: 'A change of your e-mail address was asked for',
        blocks: [
          paragraph(
            `On ${at} somebody who was logged in to your account at ${service} asked for another e-mail address. A link was ` +
              'sent to the other address. Until it is opened, your account stays with this one.',
          ),
          paragraph('If it was you, there is nothing to do here.'),
          takeBack(service),
        ],
      };
    case 'email_change_attempted':
      return {
        subject: 'Somebody tried to use your e-mail address',
        blocks: [
          paragraph(
            `On ${at} somebody who was logged in to another account at ${service} asked to use this address for it. The ` +
              'address is that of your account, so it was not given. Nothing has changed.',
          ),
          paragraph('If it was you: you have two accounts. Log in with this address to use this one.'),
          paragraph('If it was not you, there is nothing to do. Whoever tried was not told that you have an account.'),
        ],
      };
    case 'email_changed':
      return {
        subject: 'Your e-mail address was changed',
        blocks: [
          paragraph(
            `The e-mail address of an account at ${service} was changed on ${at}. This message goes to the former and to the ` +
              'new address.',
          ),
          paragraph('If it was you, there is nothing to do.'),
          paragraph(
            `If it was not you, somebody else can use the account: write to those who run ${service} at once. "Forgot ` +
              'password" now sends its link to the new address.',
          ),
        ],
      };
    case 'new_sign_in':
      return {
        subject: 'New sign-in to your account',
        blocks: [
          paragraph(
            `Somebody logged in to your account at ${service} from a place or with a program that is new to it.`,
          ),
          details([
            ['When', instant(new Date(message.at))],
            ['From', addressText(message.ip)],
            ['With', message.userAgent === null ? 'unknown' : foreignText(message.userAgent)],
          ]),
          paragraph('If it was you, there is nothing to do.'),
          takeBack(service),
        ],
      };
    case 'account_locked':
      return {
        subject: 'Logging in to your account is locked for a while',
        blocks: [
          paragraph(
            `Wrong passwords were entered many times for your account at ${service}, the last one on ${at}. Until ` +
              `${instant(new Date(message.until))} nobody can log in, not with the right password either. Sessions that are ` +
              'open stay open.',
          ),
          paragraph('If it was you: wait until then, or choose "Forgot password" where you log in and set a new one.'),
          paragraph(
            'If it was not you, somebody is guessing, and has not guessed it. If you use the password elsewhere too, or ' +
              'it is a short one, set another: choose "Forgot password" where you log in.',
          ),
        ],
      };
    case 'refresh_token_replayed':
      return {
        subject: 'A session of your account was ended',
        blocks: [
          paragraph(
            `On ${instant(new Date(message.at))} something that keeps you logged in to ${service} was used a second time, as ` +
              'a copy of it would be. The session was ended, and you have to log in again there.',
          ),
          paragraph(
            'If you restored a backup or copied a browser profile, that was the reason, and there is nothing to do.',
          ),
          takeBack(service),
        ],
      };
    case 'account_deleted':
      return {
        subject: 'Your account was deleted',
        blocks: [
          paragraph(`Your account at ${service} was deleted on ${at}. Nobody can log in to it any more.`),
          paragraph('If it was you, there is nothing to do.'),
          paragraph(`If it was not you, write to those who run ${service} at once.`),
        ],
      };
    default:
      throw new TypeError(`unknown kind of message: ${String((message satisfies never as Message).kind)}`);
  }
}

const paragraph = (text: string): Block => ({ type: 'paragraph', text });
const details = (rows: [string, string][]): Block => ({ type: 'details', rows });
/** In the fragment, which browsers send to no server and put into no Referer (RFC 9110, section 10.1.3). */
const link = (label: string, page: string, token: string): Block => ({
  type: 'link',
  label,
  url: `${page}#token=${encodeURIComponent(token)}`,
});

/** No link here: whoever learns from us to follow links to a login follows those of others too. */
const takeBack = (service: string): Block =>
  paragraph(
    `If it was not you, somebody else can use your account. Go to ${service} the way you always do, choose "Forgot ` +
      'password" and set a new password at once. Then log in and end every session that you do not know.',
  );

function lifeOf(seconds: number, from: Date): string {
  const length = seconds >= 7_200 ? `${seconds / 3_600} hours` : `${seconds / 60} minutes`;
  return `It works once, for ${length}: until ${instant(plusSeconds(from, seconds))}.`;
}

/** `2026-11-22 12:00:05 UTC`. */
function instant(at: Date): string {
  return at.toISOString().replace(/^(.*)T(.*)\.\d+Z$/, '$1 $2 UTC');
}

function addressText(ip: string): string {
  return isIP(ip) !== 0 && !ip.includes('%') ? ip : 'unknown'; // a zone is free text
}

const FOREIGN_TEXT_LENGTH = 200;

/**
 * Anybody's text as one line of at most 200 characters: no control, format or line-breaking character, and with a space
 * in what a mail program would make a link of (`https://`, `mailto:`, `name.example`), because it stands in our name.
 */
export function foreignText(text: string): string {
  const line = text
    .replace(/[\p{C}\p{Z}]+/gu, ' ')
    .replace(/:(?=\S)/g, ': ')
    .replace(/([.\u3002\uff0e\uff61])(?=[^\d\s])/g, '$1 ')
    .replace(/@/g, ' at ')
    .trim();
  return [...line].slice(0, FOREIGN_TEXT_LENGTH).join('').trim();
}
