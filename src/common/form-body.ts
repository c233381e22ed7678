import { isUtf8 } from 'node:buffer';
import { MalformedRequest } from './domain-error.js';

/** Longest form that is read, in octets; a longer one is 413. */
export const FORM_LIMIT_BYTES = 8 * 1024;

const refused = (message: string, detail: string) => new MalformedRequest('invalid_request', message, { detail });

/**
 * Parses a form strictly (WHATWG URL, section 5.1): UTF-8, each name once (RFC 6749, section 3.2).
 *
 * @throws MalformedRequest `invalid_request`; nothing of the body is in its message.
 */
export function parseForm(body: Buffer): Record<string, string> {
  if (!isUtf8(body)) throw refused('The body is not a form in UTF-8.', 'not_a_form');
  const entries = body
    .toString()
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair): [string, string] => {
      const end = pair.indexOf('=');
      return end < 0 ? [decoded(pair), ''] : [decoded(pair.slice(0, end)), decoded(pair.slice(end + 1))];
    });
  if (entries.length > 1 && new Set(entries.map(([name]) => name)).size < entries.length) {
    throw refused('A parameter is sent twice.', 'duplicate_parameter');
  }
  return Object.fromEntries(entries);
}

function decoded(text: string): string {
  if (!/[%+]/.test(text)) return text;
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw refused('The body is not a form in UTF-8.', 'not_a_form');
  }
}
