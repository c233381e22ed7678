import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { QueryFailedError, type EntityManager, type Repository } from 'typeorm';
import type { CanonicalEmail } from './email-address.js';
import { User } from './user.entity.js';

export type NewUser = Pick<User, 'id' | 'email' | 'passwordHash' | 'createdAt'> & { emailCanonical: CanonicalEmail };

@Injectable()
export class UserRepository {
  constructor(@InjectRepository(User) private readonly rows: Repository<User>) {}

  /**
   * Inserts the account. The unique constraint decides between two sign-ups of one address.
   *
   * @returns false when the address is taken.
   */
  async add(user: NewUser): Promise<boolean> {
    try {
      await this.rows.insert({ ...user, emailVerified: false, lastLoginAt: null });
      return true;
    } catch (error) {
      if (isDuplicate(error)) return false;
      throw error;
    }
  }

  /** The account, without its password hash; null when there is none. */
  findById(id: string): Promise<User | null> {
    return this.rows.findOneBy({ id });
  }

  /** The account with `passwordHash` loaded; null when there is none. */
  findByEmailWithHash(emailCanonical: CanonicalEmail): Promise<User | null> {
    return this.rows
      .createQueryBuilder('user')
      .addSelect('user.passwordHash')
      .where('user.emailCanonical = :emailCanonical', { emailCanonical })
      .getOne();
  }

  /**
   * Replaces the hash that was verified by its upgrade. Nothing happens when the password was changed in between.
   *
   * @returns whether it was replaced.
   */
  async upgradePasswordHash(id: string, verifiedHash: string, passwordHash: string): Promise<boolean> {
    const { affected } = await this.rows.update({ id, passwordHash: verifiedHash }, { passwordHash });
    return affected === 1;
  }

  /**
   * Notes the login, and holds the account's row until the transaction ends, so that the logins of one account
   * queue: whoever counts its sessions next counts ours.
   *
   * @returns false when the account is gone.
   */
  async recordLogin(id: string, at: Date, transaction: EntityManager): Promise<boolean> {
    const { affected } = await transaction.update(User, { id }, { lastLoginAt: at });
    return affected === 1;
  }
}

/** Unique constraint: MySQL error 1062, SQLite's extended code. */
function isDuplicate(error: unknown): boolean {
  if (!(error instanceof QueryFailedError)) return false;
  const { errno, code } = error.driverError as { errno?: number; code?: string };
  return errno === 1062 || code === 'SQLITE_CONSTRAINT_UNIQUE';
}
