import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { In, type EntityManager, type Repository } from 'typeorm';
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

  async deleteAll(userId: string, transaction: EntityManager): Promise<void> {
    await transaction.delete(FormerPassword, { userId });
  }
}
