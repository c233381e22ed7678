import type { Config } from './config.js';

/**
 * What people know this service by, on pages and in mails: the display name of `MAIL_FROM`, else the host of
 * `PUBLIC_URL`. Plain text: whoever puts it into HTML or into a header escapes it there.
 */
export function serviceName({ mailFrom, publicUrl }: Pick<Config, 'mailFrom' | 'publicUrl'>): string {
  return /^(.+?)\s+<[^<>]+>$/u.exec(mailFrom)?.[1] ?? new URL(publicUrl).hostname;
}
