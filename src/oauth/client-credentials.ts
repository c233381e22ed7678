import type { FastifyRequest } from 'fastify';
import { InvalidClient, InvalidRequest } from './oauth.errors.js';

/** RFC 7521, section 4.2. */
export const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** What a request says about who sends it. */
export type ClientCredentials =
  | { method: 'client_secret_basic'; clientId: string; secret: string }
  | { method: 'private_key_jwt'; assertion: string; clientId: string | undefined };

export type Parameters = Readonly<Record<string, string>>;

/**
 * The one way in which a request authenticates its client (RFC 6749, section 2.3: two are an error).
 *
 * @throws InvalidClient when there is none; InvalidRequest for two.
 */
export function credentialsOf(request: FastifyRequest, parameters: Parameters): ClientCredentials {
  const { authorization } = request.headers;
  const { client_assertion: assertion, client_assertion_type: type, client_id: clientId } = parameters;
  if (parameters['client_secret'] !== undefined) {
    throw new InvalidClient('secret_in_body'); // RFC 6749, section 2.3.1: not recommended, and in logs of proxies soon
  }
  if (assertion === undefined) {
    if (authorization === undefined) throw new InvalidClient('no_credentials');
    return { method: 'client_secret_basic', ...basicCredentials(authorization) };
  }
  if (authorization !== undefined) throw new InvalidRequest('Authenticate in one way, not in two.');
  if (type !== JWT_BEARER) throw new InvalidClient('assertion_type');
  return { method: 'private_key_jwt', assertion, clientId };
}

/** RFC 7617, with both halves encoded as in a form (RFC 6749, section 2.3.1). @throws InvalidClient */
export function basicCredentials(authorization: string): { clientId: string; secret: string } {
  const encoded = /^Basic +([A-Za-z0-9+/]+={0,2})$/i.exec(authorization)?.[1];
  if (encoded === undefined) throw new InvalidClient('not_basic');
  const [, clientId, secret] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, 'base64').toString('utf8')) ?? [];
  if (clientId === undefined || secret === undefined) throw new InvalidClient('not_basic');
  return { clientId: formDecoded(clientId), secret: formDecoded(secret) };
}

function formDecoded(text: string): string {
  if (!/[%+]/.test(text)) return text;
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw new InvalidClient('not_form_encoded');
  }
}
