import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import type { Repository } from 'typeorm';
import { SigningKey } from './signing-key.entity.js';

@Injectable()
export class SigningKeyRepository {
  constructor(@InjectRepository(SigningKey) private readonly rows: Repository<SigningKey>) {}

  /** Every key that is not revoked and not past its end at `now`, oldest first. */
  findPublished(now: Date): Promise<SigningKey[]> {
    return this.rows
      .createQueryBuilder('key')
      .where('key.revokedAt IS NULL')
      .andWhere('(key.expiresAt IS NULL OR key.expiresAt > :now)', { now })
      .orderBy('key.number')
      .getMany();
  }

  /** Inserts a key, unless another instance has taken its number or the same key is there. The caller reads again. */
  async addUnlessTaken(key: SigningKey): Promise<void> {
    await this.rows.createQueryBuilder().insert().values(key).orIgnore().updateEntity(false).execute();
  }
}
