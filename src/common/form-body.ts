import { MalformedRequest } from './domain-error.js';

const UTF8 = new TextDecoder('utf-8', { fatal: true });

const refused = (message: string, detail: string) => new MalformedRequest('invalid_request', message, { detail });

/**
 * Parses a form strictly (WHATWG URL, section 5.1): UTF-8, each name once (RFC 6749, section 3.2).
 *
 * @throws MalformedRequest `invalid_request`; nothing of the body is in its message.
 */
export function parseForm(body: Buffer): Record<string, string> {
  let text: string;
  try {
    text = UTF8.decode(body);
    decodeURIComponent(text.replaceAll('+', ' ')); // URLSearchParams puts a replacement where it cannot decode
  } catch {
    throw refused('The body is not a form in UTF-8.', 'not_a_form');
  }
  const entries = [...new URLSearchParams(text)];
  if (new Set(entries.map(([name]) => name)).size < entries.length) {
    throw refused('A parameter is sent twice.', 'duplicate_parameter');
  }
  return Object.fromEntries(entries);
}
