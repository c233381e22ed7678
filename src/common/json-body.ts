import { MalformedRequest } from './domain-error.js';

const FORBIDDEN_KEYS = new Set(['__proto__', 'constructor']);
const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\],:]/g;

const malformed = (detail: string) =>
  new MalformedRequest('malformed_body', 'The body is not a JSON object with unique keys, in UTF-8.', { detail });

/**
 * Parses a request body strictly: UTF-8 (RFC 3629, no byte-order mark), one JSON object (RFC 8259), unique names
 * (RFC 7493, section 2.3: parsers disagree on which duplicate wins, so a proxy in front may have checked the other one)
 * and none that reaches a prototype (ASVS 15.3.6).
 *
 * @throws MalformedRequest; nothing of the body is in its message.
 */
export function parseJsonObject(body: Buffer): Record<string, unknown> {
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    throw malformed('not_utf8');
  }
  try {
    value = JSON.parse(text);
  } catch {
    // Not passed on: V8's message quotes the text it stumbled over, which may be a password.
    throw malformed('not_json');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed('not_an_object');
  checkKeys(text);
  return value as Record<string, unknown>;
}

/** Walks the tokens of a text that is known to be JSON. A string is a key when a colon follows it. */
function checkKeys(text: string): void {
  const scopes: Set<string>[] = [];
  let lastString = '';
  for (const [token] of text.matchAll(TOKENS)) {
    if (token === '{' || token === '[') scopes.push(new Set());
    else if (token === '}' || token === ']') scopes.pop();
    else if (token === ':') {
      const key = JSON.parse(lastString) as string;
      const scope = scopes.at(-1);
      if (FORBIDDEN_KEYS.has(key)) throw malformed('forbidden_key');
      if (scope?.has(key)) throw malformed('duplicate_key');
      scope?.add(key);
    } else lastString = token;
  }
}
