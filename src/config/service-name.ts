import type { Config } from './config.js';

/**
 * What people know this service by, on pages and in mails: the display name of `MAIL_FROM`, else the host of
 * `PUBLIC_URL`. Plain text: whoever puts it into HTML or into a header escapes it there.
 */
export function serviceName({ mailFrom, publicUrl }: Pick<Config, 'mailFrom' | 'publicUrl'>): string {
  return senderOf(mailFrom).name || new URL(publicUrl).hostname;
}

/** `MAIL_FROM` taken apart; the name is empty where there is none. */
export function senderOf(mailFrom: string): { name: string; address: string } {
  const match = /^(.+?)\s+<([^<>]+)>$/u.exec(mailFrom);
  return { name: match?.[1] ?? '', address: match?.[2] ?? mailFrom };
}
