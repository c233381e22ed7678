import { Injectable } from '@nestjs/common';
import { MasterKeys } from '../common/master-keys.js';
import type { Session } from './session.entity.js';

/** `<session id>.<generation>.<mac>`, taken apart. */
export interface ParsedRefreshToken {
  sessionId: string;
  generation: number;
  mac: Buffer;
}

const FORM = /^([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})\.(0|[1-9]\d{0,14})\.([\w-]{43})$/;

/**
 * Refresh tokens: the mac is HMAC-SHA-256, under a key derived from the master key, over the session's random seed and
 * the generation (256 bits; ASVS 7.2.3). The row holds the seed alone, so a stolen database makes no token. The token of a
 * generation can be made again, so that a client that lost an answer gets the same one.
 */
@Injectable()
export class RefreshTokens {
  constructor(private readonly masterKeys: MasterKeys) {}

  /** The token of `generation`. */
  mint({ id, seed }: Pick<Session, 'id' | 'seed'>, generation: number): string {
    return `${id}.${generation}.${this.masterKeys.mac('refresh-token', material(seed, generation)).toString('base64url')}`;
  }

  /** Takes a token apart; undefined when it has not the form. Says nothing about whether it is authentic. */
  parse(token: string): ParsedRefreshToken | undefined {
    const [, sessionId, generation, mac] = FORM.exec(token) ?? [];
    if (sessionId === undefined || generation === undefined || mac === undefined) return undefined;
    const bytes = Buffer.from(mac, 'base64url');
    if (bytes.toString('base64url') !== mac) return undefined; // one spelling per token
    return { sessionId, generation: Number(generation), mac: bytes };
  }

  /** Whether we made this token for this session. */
  isAuthentic({ seed }: Pick<Session, 'seed'>, { generation, mac }: ParsedRefreshToken): boolean {
    return this.masterKeys.verifyMac('refresh-token', material(seed, generation), mac);
  }
}

function material(seed: string, generation: number): Buffer {
  return Buffer.from(`${seed}.${generation}`);
}
