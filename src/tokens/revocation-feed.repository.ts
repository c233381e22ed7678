import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { randomBytes } from 'node:crypto';
import { In, IsNull, LessThanOrEqual, MoreThan, type DataSource, type EntityManager, type Repository } from 'typeorm';
import { isSqlite } from '../database/data-source.js';
import { findRows, instantOf } from '../database/raw-rows.js';
import { inTransaction } from '../database/transaction.js';
import { Revocation, type RevocationKind } from './revocation.entity.js';
import { RevocationFeedState } from './revocation-feed.entity.js';

const ID = 1;
const BATCH = 500;
const EPOCH_BYTES = 6;

/** A revocation in its place in the feed. */
export interface FeedEntry {
  position: number;
  kind: RevocationKind;
  value: string;
  notBefore: Date | null;
  expiresAt: Date;
}

/**
 * The order of the feed. A row's `seq` is given before its transaction commits, so a reader that has seen 7 may still be
 * owed 6. A position is given afterwards, to rows that are there, under a lock that is held until it is committed: whoever
 * has read up to a position has read everything before it. On SQLite, with its one writer at a time, `seq` is that order.
 */
@Injectable()
export class RevocationFeedRepository {
  private readonly order: 'seq' | 'position';

  constructor(@InjectDataSource() private readonly dataSource: DataSource) {
    this.order = isSqlite(dataSource) ? 'seq' : 'position';
  }

  /** The feed's epoch, and the last position that was given. Begins the feed where there is none. */
  async state(): Promise<{ epoch: string; position: number }> {
    const rows = this.dataSource.getRepository(RevocationFeedState);
    const { epoch, position } = (await rows.findOneBy({ id: ID })) ?? (await this.begin());
    return { epoch, position: this.order === 'seq' ? await this.lastSeq() : position };
  }

  /** Ends an epoch and begins another one, unless somebody has. What `state` says then. */
  async renew(epoch: string): Promise<{ epoch: string; position: number }> {
    await this.dataSource.getRepository(RevocationFeedState).update({ id: ID, epoch }, { epoch: newEpoch() });
    return this.state();
  }

  /** What comes after a position, in its order, and whether there are rows that have none yet. One query of `limit` rows. */
  async findAfter(position: number, limit: number): Promise<{ entries: FeedEntry[]; hasUnplaced: boolean }> {
    const isNext = this.order === 'seq' ? 'seq > ?' : '(position IS NULL OR position > ?)';
    const rest = `WHERE ${isNext} ORDER BY ${this.order} LIMIT ?`;
    const rows = await findRows(this.dataSource.manager, Revocation, rest, [position, limit]);
    const entries = rows.map((row) => this.entryOf(row)).filter(isPlaced);
    return { entries, hasUnplaced: entries.length < rows.length };
  }

  /** Gives the rows that are there their positions, a batch at a time. What is committed meanwhile comes next time. */
  async place(): Promise<void> {
    while ((await inTransaction(this.dataSource, (transaction) => this.placeBatch(transaction))) === BATCH);
  }

  /** What is live at `now`, up to a position, in its order. May be much, so no entities are made of it. */
  async findLive(through: number, now: Date): Promise<FeedEntry[]> {
    const rows = await this.revocations
      .createQueryBuilder('row')
      .select(`row.${this.order} AS position, row.kind AS kind, row.value AS value`)
      .addSelect('row.notBefore AS notBefore, row.expiresAt AS expiresAt')
      .where({ [this.order]: LessThanOrEqual(through), expiresAt: MoreThan(now) })
      .orderBy(`row.${this.order}`)
      .getRawMany<LiveRow>();
    return rows.map(({ position, kind, value, notBefore, expiresAt }) => ({
      position: Number(position),
      kind,
      value,
      notBefore: notBefore === null ? null : instantOf(notBefore),
      expiresAt: instantOf(expiresAt),
    }));
  }

  private async begin(): Promise<RevocationFeedState> {
    const rows = this.dataSource.getRepository(RevocationFeedState);
    const [last] = await this.revocations.find({ select: { position: true }, order: { position: 'DESC' }, take: 1 });
    const begun = { id: ID, epoch: newEpoch(), position: last?.position ?? 0 };
    await rows.createQueryBuilder().insert().values(begun).orIgnore().updateEntity(false).execute();
    return rows.findOneByOrFail({ id: ID });
  }

  /** Of SQLite, which knows it also when the row is gone: by the rows alone the feed would go back when the table is empty. */
  private async lastSeq(): Promise<number> {
    const query = `SELECT seq FROM sqlite_sequence WHERE name = 'revocations'`;
    const [last] = await this.dataSource.query<{ seq: number }[]>(query);
    return last?.seq ?? 0;
  }

  private entryOf({ seq, position, kind, value, notBefore, expiresAt }: Revocation): FeedEntry | Unplaced {
    return { position: this.order === 'seq' ? Number(seq) : position, kind, value, notBefore, expiresAt };
  }

  private async placeBatch(transaction: EntityManager): Promise<number> {
    await transaction.update(RevocationFeedState, { id: ID }, { position: () => 'position' }); // holds the row
    const { position } = await transaction.findOneByOrFail(RevocationFeedState, { id: ID });
    // Read without a lock: a lock would wait for the transactions that are writing rows.
    const rows = await transaction.find(Revocation, {
      select: { seq: true },
      where: { position: IsNull() },
      order: { seq: 'ASC' },
      take: BATCH,
    });
    if (rows.length === 0) return 0;
    const places = rows.map(({ seq }, i) => ({ seq, position: position + 1 + i }));
    await transaction
      .createQueryBuilder()
      .update(Revocation)
      .set({ position: () => `CASE seq ${places.map((one) => `WHEN ${one.seq} THEN ${one.position}`).join(' ')} END` })
      .where({ seq: In(rows.map(({ seq }) => seq)), position: IsNull() })
      .execute();
    await transaction.update(RevocationFeedState, { id: ID }, { position: position + rows.length });
    return rows.length;
  }

  private get revocations(): Repository<Revocation> {
    return this.dataSource.getRepository(Revocation);
  }
}

/** As the driver gives it. */
interface LiveRow {
  position: number | string;
  kind: RevocationKind;
  value: string;
  notBefore: Date | string | null;
  expiresAt: Date | string;
}

function newEpoch(): string {
  return randomBytes(EPOCH_BYTES).toString('base64url');
}

type Unplaced = Omit<FeedEntry, 'position'> & { position: null };

function isPlaced(row: FeedEntry | Unplaced): row is FeedEntry {
  return row.position !== null;
}
