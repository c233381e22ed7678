import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { In, MoreThan, type EntityManager, type Repository } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { FormerPassword } from './former-password.entity.js';

/** So many former passwords may not come back, the present one aside (PCI DSS 8.3.7). */
export const FORMER_PASSWORDS = 4;

@Injectable()
export class FormerPasswordRepository {
  constructor(@InjectRepository(FormerPassword) private readonly rows: Repository<FormerPassword>) {}

  /** The newest `FORMER_PASSWORDS`, newest first. */
  find(userId: string): Promise<FormerPassword[]> {
    return this.rows.find({ where: { userId }, order: { id: 'DESC' }, take: FORMER_PASSWORDS });
  }

  /** Keeps a password that is being replaced, and the newest ones before it. */
  async add(userId: string, passwordHash: string, at: Date, transaction: EntityManager): Promise<void> {
    await transaction.insert(FormerPassword, { id: uuidv7(), userId, passwordHash, createdAt: at });
    const all = await transaction.find(FormerPassword, {
      select: { id: true },
      where: { userId },
      order: { id: 'DESC' },
    });
    const surplus = all.slice(FORMER_PASSWORDS).map(({ id }) => id);
    if (surplus.length > 0) await transaction.delete(FormerPassword, { id: In(surplus) });
  }

  /** Up to `limit` rows whose id is after `id`, in its order. */
  findAfter(id: string, limit: number): Promise<FormerPassword[]> {
    return this.rows.find({ where: { id: MoreThan(id) }, order: { id: 'ASC' }, take: limit });
  }

  /** Puts another form of the same password in place of the one that was seen. @returns false when that is gone. */
  async replace(
    { id, passwordHash: seen }: FormerPassword,
    hash: string,
    transaction: EntityManager,
  ): Promise<boolean> {
    const { affected } = await transaction.update(FormerPassword, { id, passwordHash: seen }, { passwordHash: hash });
    return affected === 1;
  }

  count(): Promise<number> {
    return this.rows.count();
  }

  async deleteAll(userId: string, transaction: EntityManager): Promise<void> {
    await transaction.delete(FormerPassword, { userId });
  }
}
