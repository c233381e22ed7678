import type { Options as MimeOptions } from 'nodemailer/lib/mail-composer';
import type { Config } from '../config/config.js';
import { senderOf } from '../config/service-name.js';

/** A finished mail to one person. */
export interface OutgoingMail {
  /** UUID of the message, the same each time it is sent. */
  id: string;
  /** The address, and nothing else. */
  to: string;
  subject: string;
  text: string;
  html: string;
  /** The link in it that holds a token, for development's console; null when there is none. */
  link: string | null;
  createdAt: Date;
}

/** A way for mails to leave this process. */
export abstract class MailTransport {
  /** Whether there is a way at all. Where there is none, mails wait until they are given up. */
  readonly isConfigured: boolean = true;

  /**
   * Hands a mail over.
   *
   * @param signal ends it at once. The mail may have been taken all the same.
   * @throws an error with a `code` (and `responseCode` where a server said one) when it was not taken, or nobody knows.
   */
  abstract send(mail: OutgoingMail, signal: AbortSignal): Promise<void>;
}

/** Production without `SMTP_URL`. */
export class NoTransport extends MailTransport {
  override readonly isConfigured = false;

  send(): Promise<void> {
    return Promise.reject(Object.assign(new Error('there is no SMTP_URL'), { code: 'no_smtp_url' }));
  }
}

/** No white space, no control or format character, none that means something in a header or in an SMTP command. */
const PLAIN_ADDRESS = /^[^\s\p{C}()<>[\]\\,;:"@]+@[^\s\p{C}()<>[\]\\,;:"@]+$/u;

/**
 * What nodemailer makes the message of. The one recipient is given to it as an object, which it does not parse, in header
 * and envelope; a repeat has the same Message-ID (RFC 5322, section 3.6.4) and Date, by which a reader recognises it.
 *
 * @throws an error with the code EENVELOPE when `to` is not one plain address: nodemailer would send to what is left of it.
 */
export function mimeOptions(mail: OutgoingMail, { mailFrom, publicUrl }: Config): MimeOptions {
  if (!PLAIN_ADDRESS.test(mail.to)) {
    throw Object.assign(new Error('the recipient is not one plain address'), { code: 'EENVELOPE' });
  }
  const from = senderOf(mailFrom);
  const to = { address: mail.to, name: '' };
  return {
    from,
    to,
    envelope: { from: { ...from, name: '' }, to },
    subject: mail.subject,
    text: mail.text,
    html: mail.html,
    date: mail.createdAt,
    messageId: `<${mail.id}@${new URL(publicUrl).hostname}>`,
    headers: { 'Auto-Submitted': 'auto-generated' }, // RFC 3834, section 5: no holiday notice comes back
    disableFileAccess: true,
    disableUrlAccess: true,
  };
}
