import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { LessThan, type EntityManager, type Repository } from 'typeorm';
import { deleteBatch } from '../database/delete-batch.js';
import { Revocation, type RevocationKind } from './revocation.entity.js';

@Injectable()
export class RevocationRepository {
  constructor(@InjectRepository(Revocation) private readonly rows: Repository<Revocation>) {}

  /** Revokes; a value that is revoked already stays as it is. In force for everybody once the transaction commits. */
  async add(revocations: Omit<Revocation, 'seq'>[], transaction: EntityManager): Promise<void> {
    if (revocations.length === 0) return;
    await transaction
      .createQueryBuilder()
      .insert()
      .into(Revocation)
      .values(revocations)
      .orIgnore()
      .updateEntity(false)
      .execute();
  }

  /** Those of `values` that are revoked. One query on the unique index, however many values. */
  async findRevoked(kind: RevocationKind, values: readonly string[]): Promise<Set<string>> {
    // By hand: this is the one query of every request, and building it would cost more than answering it.
    const distinct = [...new Set(values)];
    const found = await this.rows.query<{ value: string }[]>(
      `SELECT value FROM revocations WHERE kind = ? AND value IN (${distinct.map(() => '?').join()})`,
      [kind, ...distinct],
    );
    return new Set(found.map(({ value }) => value));
  }

  /**
   * Deletes up to `limit` rows that expired before `before`.
   *
   * @returns how many.
   */
  purge(before: Date, limit: number): Promise<number> {
    return deleteBatch(this.rows, 'seq', { expiresAt: LessThan(before) }, limit);
  }
}
