import { Injectable, type BeforeApplicationShutdown } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { In, IsNull, LessThan, LessThanOrEqual, MoreThan, Not, type EntityManager, type Repository } from 'typeorm';
import { HandOver } from '../common/hand-over.js';
import { BatchedLookup } from '../database/batched-lookup.js';
import { isSqlite } from '../database/data-source.js';
import { isDuplicate } from '../database/errors.js';
import { change, findRows, instantOf, instantText, placeholders, type RawInstant } from '../database/raw-rows.js';
import { ReservedConnection } from '../database/reserved-connection.js';
import type { CanonicalEmail } from './email-address.js';
import { NO_PASSWORD, User } from './user.entity.js';

export type NewUser = Pick<User, 'id' | 'email' | 'passwordHash' | 'createdAt'> & {
  emailCanonical: CanonicalEmail;
  emailVerified?: boolean;
  pendingSince?: Date | null;
};

/** An account as somebody has just seen it. A change that goes by it happens only while that is still so. */
export type SeenUser = Pick<User, 'id' | 'credentialsVersion'>;

/** What a person is shown of their account at every turn. */
export type Profile = Pick<User, 'id' | 'email' | 'emailVerified' | 'createdAt'>;

interface RawProfile {
  id: string;
  email: string;
  email_verified: 0 | 1;
  created_at: RawInstant;
}

@Injectable()
export class UserRepository implements BeforeApplicationShutdown {
  private readonly profiles = new BatchedLookup<string, Profile | undefined>('users', (ids) => this.findProfiles(ids));

  /** Profiles for requests that a shortcut has left to their routes. */
  readonly handedOver = new HandOver<Profile | undefined>();
  private readonly connection: ReservedConnection;

  constructor(@InjectRepository(User) private readonly rows: Repository<User>) {
    this.connection = new ReservedConnection(rows.manager.dataSource);
  }

  beforeApplicationShutdown(): void {
    this.connection.release();
  }

  /**
   * Inserts the account. The unique constraint decides between two sign-ups of one address.
   *
   * @returns false when the address is taken.
   */
  async add(user: NewUser, transaction: EntityManager): Promise<boolean> {
    try {
      await transaction.insert(User, complete(user));
      return true;
    } catch (error) {
      if (isDuplicate(error)) return false;
      throw error;
    }
  }

  /**
   * Inserts the account; where the address has one that never showed that it is its own, that one loses its password
   * instead. One statement that takes the row for itself either way: with two, sign-ups of one address at once would keep
   * each other from going on. Does not tell which it was: both take the same time.
   */
  async addOrDropUnverified(user: NewUser, transaction: EntityManager): Promise<void> {
    const insert = transaction.createQueryBuilder().insert().into(User).values(complete(user));
    const [statement, parameters] = insert.getQueryAndParameters();
    const onConflict = isSqlite(transaction.dataSource)
      ? 'ON CONFLICT (email_canonical) DO UPDATE SET'
      : 'ON DUPLICATE KEY UPDATE';
    await transaction.query(
      `${statement} ${onConflict}
        password_hash = CASE WHEN email_verified THEN password_hash ELSE '${NO_PASSWORD}' END,
        credentials_version = CASE WHEN email_verified THEN credentials_version ELSE credentials_version + 1 END`,
      parameters,
    );
  }

  /**
   * Inserts those accounts whose address is free, each address once.
   *
   * @returns the ids of those that were inserted.
   */
  async addThoseFree(users: NewUser[], transaction: EntityManager): Promise<string[]> {
    await insertWhereFree(users, transaction);
    const ids = users.map(({ id }) => id);
    const found = await transaction.find(User, { select: { id: true }, where: { id: In(ids) } });
    return found.map(({ id }) => id);
  }

  /** An account that waits for its first proof of the address waits from `since` on, and no longer than one that began then. */
  async waitFrom(id: string, since: Date, transaction: EntityManager): Promise<void> {
    await transaction.update(User, { id, pendingSince: LessThan(since) }, { pendingSince: since });
  }

  /** Makes everybody else who would hold or change the account wait until the transaction ends. */
  async hold(id: string, transaction: EntityManager): Promise<void> {
    if (isSqlite(transaction.connection)) return; // there is one transaction at a time
    await transaction.findOne(User, { select: { id: true }, where: { id }, lock: { mode: 'pessimistic_write' } });
  }

  /** Up to `limit` accounts whose id is after `id`, in its order: the addresses of all, page by page. */
  findAfter(id: string, limit: number): Promise<Pick<User, 'id' | 'emailCanonical'>[]> {
    const select = { id: true, emailCanonical: true };
    return this.rows.find({ select, where: { id: MoreThan(id) }, order: { id: 'ASC' }, take: limit });
  }

  /** As `findAfter`, but with the hashes. */
  findHashesAfter(id: string, limit: number): Promise<Pick<User, 'id' | 'passwordHash'>[]> {
    const select = { id: true, passwordHash: true };
    return this.rows.find({ select, where: { id: MoreThan(id) }, order: { id: 'ASC' }, take: limit });
  }

  /** How many accounts there are, with the deleted ones. */
  count(): Promise<number> {
    return this.rows.count();
  }

  exists(id: string, transaction: EntityManager): Promise<boolean> {
    return transaction.existsBy(User, { id });
  }

  /** The account as it is now, in one query with those that others ask for meanwhile. @throws Unavailable */
  findProfile(id: string): Promise<Profile | undefined> {
    return this.profiles.load(id);
  }

  /** The account, without its password hash; null when there is none. Deleted ones are found too. */
  findById(id: string): Promise<User | null> {
    return this.rows.findOneBy({ id });
  }

  /** The account, without its password hash; null when there is none. */
  findByEmail(emailCanonical: CanonicalEmail): Promise<User | null> {
    return this.rows.findOneBy({ emailCanonical });
  }

  /** The account with `passwordHash` loaded; null when there is none. */
  async findByEmailWithHash(
    emailCanonical: CanonicalEmail,
    transaction: EntityManager = this.rows.manager,
  ): Promise<User | null> {
    const [user] = await findRows(transaction, User, 'WHERE email_canonical = ?', [emailCanonical]);
    return user ?? null;
  }

  /** The account with `passwordHash` loaded; null when there is none. */
  findByIdWithHash(id: string): Promise<User | null> {
    return withHash(this.rows.manager).where('user.id = :id', { id }).getOne();
  }

  /**
   * Replaces a stored hash by another form of the same password. Nothing happens when it was changed in between.
   *
   * @returns whether it was replaced.
   */
  async upgradePasswordHash(
    id: string,
    seenHash: string,
    passwordHash: string,
    transaction: EntityManager = this.rows.manager,
  ): Promise<boolean> {
    const { affected } = await transaction.update(User, { id, passwordHash: seenHash }, { passwordHash });
    return affected === 1;
  }

  /**
   * Notes the login, and holds the account's row until the transaction ends, so that the logins of one account
   * queue: whoever counts its sessions next counts ours. An account that can be used waits for nothing any more, also when
   * it was EMAIL_VERIFICATION that changed.
   *
   * @returns false when the account is not what it was when the password was checked, or gone.
   */
  async recordLogin({ id, credentialsVersion }: SeenUser, at: Date, transaction: EntityManager): Promise<boolean> {
    const { affected } = await change(
      transaction,
      'UPDATE users SET last_login_at = ?, pending_since = NULL WHERE id = ? AND credentials_version = ?',
      [instantText(at), id, credentialsVersion],
    );
    return affected === 1;
  }

  /** Whether the account is as it was seen. Holds its row until the transaction ends, so that it stays so. */
  isUnchanged(seen: SeenUser, transaction: EntityManager): Promise<boolean> {
    return this.change(seen, { credentialsVersion: seen.credentialsVersion }, transaction);
  }

  /**
   * Notes that the person is told of the present password as breached.
   *
   * @returns false when they were already, or the account has changed since it was seen.
   */
  async noteBreachTold({ id, credentialsVersion }: SeenUser, at: Date, transaction: EntityManager): Promise<boolean> {
    const seen = { id, credentialsVersion, breachToldAt: IsNull() };
    const { affected } = await transaction.update(User, seen, { breachToldAt: at });
    return affected === 1;
  }

  /** A new password. @returns false when the account has changed since it was seen. */
  setPassword(seen: SeenUser, passwordHash: string, transaction: EntityManager): Promise<boolean> {
    return this.changeCredentials(seen, { passwordHash, breachToldAt: null }, transaction);
  }

  /**
   * The person has shown that the address is theirs, with a new password or the one they signed up with.
   *
   * @returns false when the account has changed since it was seen.
   */
  verifyEmail(seen: SeenUser, passwordHash: string | undefined, transaction: EntityManager): Promise<boolean> {
    const verified = { emailVerified: true, pendingSince: null };
    if (passwordHash === undefined) return this.change(seen, verified, transaction);
    return this.changeCredentials(seen, { ...verified, passwordHash, breachToldAt: null }, transaction);
  }

  /**
   * Another address, which its owner has confirmed.
   *
   * @returns false when it is taken, or the account has changed since it was seen.
   */
  async changeEmail(
    seen: SeenUser,
    email: string,
    emailCanonical: CanonicalEmail,
    transaction: EntityManager,
  ): Promise<boolean> {
    try {
      const verified = { emailVerified: true, pendingSince: null };
      return await this.changeCredentials(seen, { email, emailCanonical, ...verified }, transaction);
    } catch (error) {
      if (isDuplicate(error)) return false;
      throw error;
    }
  }

  /** @returns false when it was disabled already, or is deleted. */
  async disable(id: string, at: Date, transaction: EntityManager): Promise<boolean> {
    const { affected } = await transaction.update(
      User,
      { id, disabledAt: IsNull(), deletedAt: IsNull() },
      { disabledAt: at, credentialsVersion: () => 'credentials_version + 1' },
    );
    return affected === 1;
  }

  /** @returns false when it was not disabled, or is deleted. */
  async enable(id: string, transaction: EntityManager): Promise<boolean> {
    const { affected } = await transaction.update(
      User,
      { id, disabledAt: Not(IsNull()), deletedAt: IsNull() },
      { disabledAt: null },
    );
    return affected === 1;
  }

  /**
   * Deletes: from here on no password opens the account and its address is free. The row stays, so that the id is never
   * given again; the data waits for `erase`.
   *
   * @returns false when it was deleted already.
   */
  async delete(id: string, at: Date, eraseAt: Date, transaction: EntityManager): Promise<boolean> {
    const { affected } = await transaction.update(
      User,
      { id, deletedAt: IsNull() },
      {
        emailCanonical: `deleted:${id}`, // no address: it has no @
        passwordHash: NO_PASSWORD,
        deletedAt: at,
        eraseAt,
        pendingSince: null,
        credentialsVersion: () => 'credentials_version + 1',
      },
    );
    return affected === 1;
  }

  /** Deleted accounts whose data is due to go at `now`, at most `limit`. */
  findErasable(now: Date, limit: number): Promise<User[]> {
    return this.rows.find({ where: { eraseAt: LessThanOrEqual(now) }, take: limit });
  }

  /** Takes the personal data out of a deleted account. @returns false when somebody else did. */
  async erase(id: string, transaction: EntityManager): Promise<boolean> {
    const { affected } = await transaction.update(
      User,
      { id, eraseAt: Not(IsNull()) },
      { email: '', emailVerified: false, lastLoginAt: null, eraseAt: null },
    );
    return affected === 1;
  }

  /**
   * Deletes up to `limit` accounts that have waited for their first proof of the address since before `before`.
   *
   * @returns those that this call has deleted.
   */
  async deletePending(before: Date, limit: number, transaction: EntityManager): Promise<User[]> {
    const where = { pendingSince: LessThan(before), emailVerified: false };
    const isShared = !isSqlite(transaction.connection); // on SQLite there is one transaction at a time
    const pending = await transaction.find(User, {
      where,
      take: limit,
      ...(isShared && { lock: { mode: 'pessimistic_write' } }),
    });
    if (pending.length > 0) await transaction.delete(User, { id: In(pending.map(({ id }) => id)) });
    return pending;
  }

  private async change(
    { id, credentialsVersion }: SeenUser,
    values: Partial<User>,
    transaction: EntityManager,
  ): Promise<boolean> {
    const { affected } = await transaction.update(User, { id, credentialsVersion }, values);
    return affected === 1;
  }

  private changeCredentials(seen: SeenUser, values: Partial<User>, transaction: EntityManager): Promise<boolean> {
    return this.change(seen, { ...values, credentialsVersion: seen.credentialsVersion + 1 }, transaction);
  }

  private async findProfiles(ids: readonly string[]): Promise<(Profile | undefined)[]> {
    const wanted = [...new Set(ids)];
    const rows: RawProfile[] = await this.connection.query<RawProfile[]>(
      `SELECT id, email, email_verified, created_at FROM users WHERE id IN (${placeholders(wanted.length)})`,
      wanted,
    );
    const byId = new Map(rows.map((row) => [row.id, row]));
    return ids.map((id) => {
      const row = byId.get(id);
      return (
        row && { id, email: row.email, emailVerified: row.email_verified === 1, createdAt: instantOf(row.created_at) }
      );
    });
  }
}

function complete(user: NewUser): User {
  return {
    emailVerified: false,
    pendingSince: null,
    ...user,
    lastLoginAt: null,
    credentialsVersion: 0,
    breachToldAt: null,
    disabledAt: null,
    deletedAt: null,
    eraseAt: null,
  };
}

async function insertWhereFree(users: NewUser[], transaction: EntityManager): Promise<void> {
  await transaction
    .createQueryBuilder()
    .insert()
    .into(User)
    .values(users.map(complete))
    .orIgnore()
    .updateEntity(false)
    .execute();
}

function withHash(manager: EntityManager) {
  return manager.createQueryBuilder(User, 'user').addSelect('user.passwordHash');
}
