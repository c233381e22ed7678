import { Injectable } from '@nestjs/common';
import type { IncomingMessage } from 'node:http';
import { parseForm } from '../common/form-body.js';
import { Config } from '../config/config.js';
import { AccessTokens, type AccessTokenClaims } from '../tokens/access-tokens.js';
import { RevocationLookup } from '../tokens/revocation-lookup.js';
import { ClientAuthentication } from './client-authentication.js';
import { IntrospectionBudget } from './introspection-budget.js';
import { activeAccessToken, INACTIVE } from './introspection.service.js';

const PLAIN = new Set(['token', 'token_type_hint']);
const INACTIVE_JSON = JSON.stringify(INACTIVE);

/**
 * The plain case of an introspection, in which everything but the revocation table is known to this instance already: the
 * client and its secret, what is left of its budget, the signature of the access token.
 */
@Injectable()
export class IntrospectionShortcut {
  /** What an answer about a token says as long as it is good. */
  private readonly texts = new WeakMap<AccessTokenClaims, string>();

  constructor(
    private readonly config: Config,
    private readonly clients: ClientAuthentication,
    private readonly budget: IntrospectionBudget,
    private readonly tokens: AccessTokens,
    private readonly revocations: RevocationLookup,
  ) {}

  /**
   * The JSON that the route would answer with 200; undefined when it is not the plain case, and then nothing has been counted.
   *
   * @throws Unavailable, later, as the route does.
   */
  answer(request: IncomingMessage, body: Buffer): Promise<string> | undefined {
    const token = tokenOf(body);
    const client = token && this.clients.recall(request.headers.authorization);
    if (!client || !client.audiences.includes(this.config.audience)) return undefined;
    const claims = this.tokens.recall(token);
    if (!claims || !this.budget.useWhatIsLeft(client)) return undefined;
    const isRevoked = this.revocations.isRevoked(claims);
    return isRevoked.then(
      (isDead) => {
        this.clients.countSuccess();
        return isDead ? INACTIVE_JSON : this.textOf(claims);
      },
      (error: Error) => {
        this.budget.giveBack(client); // the route counts again
        this.revocations.handedOver.leave(request, isRevoked);
        throw error;
      },
    );
  }

  private textOf(claims: AccessTokenClaims): string {
    const known = this.texts.get(claims);
    if (known !== undefined) return known;
    const text = JSON.stringify(activeAccessToken(claims));
    this.texts.set(claims, text);
    return text;
  }
}

/** The token of a form that has nothing else to say. */
function tokenOf(body: Buffer): string | undefined {
  // As nearly all send it. Octets that are not ASCII make no token that was seen before.
  const text = body.toString('latin1');
  if (text.startsWith('token=') && !/[&%+]/.test(text)) return text.slice('token='.length);
  try {
    const parameters = parseForm(body);
    return Object.keys(parameters).every((name) => PLAIN.has(name)) ? parameters['token'] : undefined;
  } catch {
    return undefined; // the route says why
  }
}
