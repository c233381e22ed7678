import type { AuthenticToken } from './token-check.js';

/**
 * Tokens whose signature and claims have been verified, by exact spelling. Of two generations the older goes as a whole when
 * the younger is full, so that what is in use stays, and to find it costs one look and no reordering.
 */
export class RememberedTokens {
  private young = new Map<string, AuthenticToken>();
  private old = new Map<string, AuthenticToken>();

  /** @param size of a generation: so many tokens stay at least, and twice as many at most. */
  constructor(private readonly size: number) {}

  get(token: string): AuthenticToken | undefined {
    const known = this.young.get(token);
    if (known) return known;
    const older = this.old.get(token);
    if (older) this.set(token, older);
    return older;
  }

  set(token: string, authentic: AuthenticToken): void {
    if (this.young.size >= this.size) {
      this.old = this.young;
      this.young = new Map();
    }
    this.young.set(token, authentic);
  }

  clear(): void {
    this.young = new Map();
    this.old = new Map();
  }
}
