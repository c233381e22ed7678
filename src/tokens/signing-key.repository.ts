import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { IsNull, type EntityManager, type Repository } from 'typeorm';
import { findRows } from '../database/raw-rows.js';
import { SigningKey } from './signing-key.entity.js';

@Injectable()
export class SigningKeyRepository {
  constructor(@InjectRepository(SigningKey) private readonly rows: Repository<SigningKey>) {}

  /** Every key that is held, oldest first: a handful. */
  findAll(): Promise<SigningKey[]> {
    return findRows(this.rows.manager, SigningKey, 'ORDER BY number');
  }

  find(kid: string): Promise<SigningKey | null> {
    return this.rows.findOneBy({ kid });
  }

  /** Inserts a key. @returns false when somebody else has taken its number. */
  async addUnlessTaken(key: SigningKey, transaction: EntityManager): Promise<boolean> {
    await transaction
      .createQueryBuilder()
      .insert()
      .into(SigningKey)
      .values(key)
      .orIgnore()
      .updateEntity(false)
      .execute();
    return transaction.existsBy(SigningKey, { kid: key.kid });
  }

  /**
   * Has a key sign from `at` on.
   *
   * @param seen when it would have, as the caller has seen it.
   * @returns false when that is not so any more, or the key is revoked.
   */
  async moveActivation({ kid, activatesAt: seen }: SigningKey, at: Date, transaction: EntityManager): Promise<boolean> {
    const { affected } = await transaction.update(
      SigningKey,
      { kid, activatesAt: seen, revokedAt: IsNull() },
      { activatesAt: at },
    );
    return affected === 1;
  }

  /** @returns false when it was revoked already, or is not there. */
  async revoke(kid: string, at: Date, transaction: EntityManager): Promise<boolean> {
    const { affected } = await transaction.update(SigningKey, { kid, revokedAt: IsNull() }, { revokedAt: at });
    return affected === 1;
  }

  /** Puts another sealed private half in place of the one that was seen. @returns false when that is not there any more. */
  async replacePrivateKey(
    { kid, privateKey: seen }: SigningKey,
    privateKey: string,
    transaction: EntityManager,
  ): Promise<boolean> {
    const { affected } = await transaction.update(SigningKey, { kid, privateKey: seen }, { privateKey });
    return affected === 1;
  }

  async delete(kid: string): Promise<void> {
    await this.rows.delete({ kid });
  }
}
