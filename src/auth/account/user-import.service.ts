import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { DataSource } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { AuditTrail, type Actor } from '../../audit/audit-trail.js';
import { Clock } from '../../common/clock.js';
import { inTransaction } from '../../database/transaction.js';
import { UserRepository, type NewUser } from '../../users/user.repository.js';
import { PasswordAttempts } from '../password-attempts.js';
import { PasswordHasher } from '../password-hasher.js';
import { BadLine, hashProblem, parseImportLine } from './user-import-line.js';

const BATCH = 200;

/** What became of the lines. `skipped`: the address has an account, which stays as it is. */
export interface ImportCounts {
  imported: number;
  skipped: number;
  bad: number;
}

/** A line as it was read; `bytes` is null when it is too long. */
export interface ImportLine {
  number: number;
  bytes: Buffer | null;
}

/** Told of every line that makes no account. The reason has no value in it. */
export type OnBadLine = (number: number, reason: string) => void;

/**
 * Accounts from another system, with their bcrypt hashes: sealed here, and ours after the next login. Nobody is told by
 * mail, and none waits for its address to be shown within seven days: it has been in use elsewhere.
 */
@Injectable()
export class UserImportService {
  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly clock: Clock,
    private readonly users: UserRepository,
    private readonly attempts: PasswordAttempts,
    private readonly hasher: PasswordHasher,
    private readonly audit: AuditTrail,
  ) {}

  /**
   * Imports line by line, 200 accounts in a transaction, each with its audit event. May be ended at any moment and
   * repeated at will: what is there is passed over.
   */
  async import(lines: AsyncIterable<ImportLine>, actor: Actor, onBadLine: OnBadLine): Promise<ImportCounts> {
    const counts: ImportCounts = { imported: 0, skipped: 0, bad: 0 };
    let batch: NewUser[] = [];
    const store = async () => {
      const imported = await this.store(batch, actor);
      counts.imported += imported;
      counts.skipped += batch.length - imported;
      batch = [];
    };
    for await (const line of lines) {
      const user = this.read(line, onBadLine);
      if (user) batch.push(user);
      else counts.bad += 1;
      if (batch.length === BATCH) await store();
    }
    await store();
    return counts;
  }

  private read({ number, bytes }: ImportLine, onBadLine: OnBadLine): NewUser | undefined {
    try {
      const id = uuidv7();
      const account = parseImportLine(bytes, this.clock.now());
      const passwordHash = this.hasher.import(id, account.passwordHash);
      if (passwordHash === undefined) throw hashProblem(account.passwordHash);
      return { ...account, id, passwordHash };
    } catch (error) {
      if (!(error instanceof BadLine)) throw error;
      onBadLine(number, error.message);
      return undefined;
    }
  }

  /** @returns how many were new. */
  private store(batch: NewUser[], actor: Actor): Promise<number> {
    if (batch.length === 0) return Promise.resolve(0);
    return inTransaction(this.dataSource, async (transaction) => {
      const added = await this.users.addThoseFree(batch, transaction);
      await this.attempts.begin(
        batch.map(({ emailCanonical }) => emailCanonical),
        transaction,
      );
      const entry = { type: 'user_created', reason: 'import', actor } as const;
      await this.audit.recordAll(
        added.map((subjectId) => ({ ...entry, subjectId })),
        transaction,
      );
      return added.length;
    });
  }
}
