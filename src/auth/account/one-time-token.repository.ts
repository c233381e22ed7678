import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { createHash, randomBytes } from 'node:crypto';
import { IsNull, LessThan, MoreThan, type EntityManager, type Repository } from 'typeorm';
import { deleteBatch } from '../../database/delete-batch.js';
import { Clock, plusSeconds } from '../../common/clock.js';
import { RESET_LINK_SECONDS, VERIFY_LINK_SECONDS } from '../../mail/messages.js';
import type { User } from '../../users/user.entity.js';
import { UserRepository, type SeenUser } from '../../users/user.repository.js';
import { InvalidOneTimeToken } from '../auth.errors.js';
import { OneTimeToken, type TokenPurpose } from './one-time-token.entity.js';

/** NIST SP 800-63B-4, section 4.2.1.2: at most 24 h by e-mail; a reset link is worth more and lives 30 minutes. */
const LIFE_SECONDS: Record<TokenPurpose, number> = {
  verify_email: VERIFY_LINK_SECONDS,
  change_email: VERIFY_LINK_SECONDS,
  reset_password: RESET_LINK_SECONDS,
};

/** 256 bits, base64url. */
const FORM = /^[\w-]{43}$/;

/** The tokens of the links that people get by mail. The table has their SHA-256 and no token. */
@Injectable()
export class OneTimeTokenRepository {
  constructor(
    @InjectRepository(OneTimeToken) private readonly rows: Repository<OneTimeToken>,
    private readonly users: UserRepository,
    private readonly clock: Clock,
  ) {}

  /**
   * A new token. An older one of the same purpose is dead from here on, and this one as soon as what opens the account
   * changes.
   *
   * @param newEmail for `change_email`: the address that the link confirms.
   * @returns 43 characters of base64url.
   */
  async issue(
    { id: userId, credentialsVersion }: SeenUser,
    purpose: TokenPurpose,
    transaction: EntityManager,
    newEmail: string | null = null,
  ): Promise<string> {
    const token = randomBytes(32).toString('base64url');
    const createdAt = this.clock.now();
    await transaction
      .createQueryBuilder()
      .insert()
      .into(OneTimeToken)
      .values({
        userId,
        purpose,
        tokenHash: hashOf(token),
        credentialsVersion,
        newEmail,
        createdAt,
        expiresAt: plusSeconds(createdAt, LIFE_SECONDS[purpose]),
        usedAt: null,
      })
      .orUpdate(
        ['token_hash', 'credentials_version', 'new_email', 'created_at', 'expires_at', 'used_at'],
        ['user_id', 'purpose'],
      )
      .updateEntity(false)
      .execute();
    return token;
  }

  /**
   * The account, with `passwordHash`, whose token this is, and the address that it confirms. Uses nothing up.
   *
   * @throws InvalidOneTimeToken when the token cannot be used (any more).
   */
  async findUsable(token: string, purpose: TokenPurpose): Promise<{ user: User; newEmail: string | null }> {
    const row = FORM.test(token) ? await this.rows.findOneBy(this.usable(token, purpose)) : null;
    const user = row && (await this.users.findByIdWithHash(row.userId));
    if (!row || user?.credentialsVersion !== row.credentialsVersion) throw new InvalidOneTimeToken('not_usable');
    return { user, newEmail: row.newEmail };
  }

  /**
   * Uses the token up. Of any number of callers one succeeds; call it first in the transaction that does what the token is
   * for, so that a kill leaves both or neither.
   *
   * @throws InvalidOneTimeToken for the others.
   */
  async consume(token: string, purpose: TokenPurpose, transaction: EntityManager): Promise<void> {
    const { affected } = await transaction.update(OneTimeToken, this.usable(token, purpose), {
      usedAt: this.clock.now(),
    });
    if (affected !== 1) throw new InvalidOneTimeToken('not_usable');
  }

  /** Keeps nothing about the links of an account. They need no deletion to be dead: its credentials have changed. */
  async deleteAll(userId: string, transaction: EntityManager): Promise<void> {
    await transaction.delete(OneTimeToken, { userId });
  }

  /** The links of an account that have not been used and are not dead, without their hashes. */
  pendingOf({ id: userId, credentialsVersion }: SeenUser): Promise<OneTimeToken[]> {
    return this.rows.find({
      select: { purpose: true, newEmail: true, createdAt: true, expiresAt: true },
      where: { userId, credentialsVersion, usedAt: IsNull() },
    });
  }

  /** Deletes up to `limit` tokens that expired before `before`. @returns how many. */
  purge(before: Date, limit: number): Promise<number> {
    return deleteBatch(this.rows, 'tokenHash', { expiresAt: LessThan(before) }, limit);
  }

  private usable(token: string, purpose: TokenPurpose) {
    return { tokenHash: hashOf(token), purpose, usedAt: IsNull(), expiresAt: MoreThan(this.clock.now()) };
  }
}

function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
