import { Injectable, type BeforeApplicationShutdown } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { LessThan, type EntityManager, type Repository } from 'typeorm';
import { deleteBatch } from '../database/delete-batch.js';
import { ReservedConnection } from '../database/reserved-connection.js';
import { instantOf, placeholders, type RawInstant } from '../database/raw-rows.js';
import { afterCommit } from '../database/transaction.js';
import { RevocationFeed } from './revocation-feed.js';
import { Revocation, type RevocationKind } from './revocation.entity.js';

export type NewRevocation = Pick<Revocation, 'kind' | 'value' | 'expiresAt' | 'createdAt'> & { notBefore?: Date };

/** What of a token can be revoked: its session, its account's tokens of before an instant, the key that signed it. */
export interface RevocableToken {
  sid: string;
  sub: string;
  /** Seconds since the epoch. */
  iat: number;
  kid: string;
}

interface Hit {
  kind: RevocationKind;
  value: string;
  not_before: RawInstant | null;
}

@Injectable()
export class RevocationRepository implements BeforeApplicationShutdown {
  /**
   * Whether the last query saw an account among the revoked ones, which is rare. Never an answer: to ask about as many accounts
   * as sessions would cost a fifth of the queries, so they are asked about only while there are any.
   */
  private hasAccounts = false;
  private readonly connection: ReservedConnection;

  constructor(
    @InjectRepository(Revocation) private readonly rows: Repository<Revocation>,
    private readonly feed: RevocationFeed,
  ) {
    this.connection = new ReservedConnection(rows.manager.dataSource);
  }

  beforeApplicationShutdown(): void {
    this.connection.release();
  }

  /** Revokes; a value that is revoked already stays as it is. In force for everybody once the transaction commits. */
  async add(revocations: NewRevocation[], transaction: EntityManager): Promise<void> {
    if (revocations.length === 0) return;
    await transaction
      .createQueryBuilder()
      .insert()
      .into(Revocation)
      .values(revocations)
      .orIgnore()
      .updateEntity(false)
      .execute();
    afterCommit(transaction, () => this.feed.noteNews());
  }

  /** For each token whether it is revoked. One query on the unique index, however many tokens; the first time after a while two. */
  async findRevoked(tokens: readonly RevocableToken[]): Promise<boolean[]> {
    const isAsked = this.hasAccounts;
    let hits = await this.findHits(tokens, isAsked);
    this.hasAccounts = hits.some(({ kind }) => kind === 'sub');
    if (this.hasAccounts && !isAsked) hits = await this.findHits(tokens, true);
    if (hits.length === 0) return tokens.map(() => false);
    const byName = new Map(hits.map((hit) => [`${hit.kind}:${hit.value}`, hit]));
    return tokens.map(
      ({ sid, sub, iat, kid }) =>
        byName.has(`sid:${sid}`) || byName.has(`kid:${kid}`) || isBefore(iat, byName.get(`sub:${sub}`)),
    );
  }

  /**
   * Deletes up to `limit` rows that expired before `before`.
   *
   * @returns how many.
   */
  purge(before: Date, limit: number): Promise<number> {
    return deleteBatch(this.rows, 'seq', { expiresAt: LessThan(before) }, limit);
  }

  private findHits(tokens: readonly RevocableToken[], withAccounts: boolean): Promise<Hit[]> {
    const values: string[] = [];
    const among = (kind: RevocationKind, all: Set<string>) => {
      values.push(...all);
      return `(kind = '${kind}' AND value IN (${placeholders(all.size)}))`;
    };
    const conditions = [
      among('sid', new Set(tokens.map(({ sid }) => sid))),
      among('kid', new Set(tokens.map(({ kid }) => kid))),
      FIRST_ACCOUNT,
    ];
    if (withAccounts) conditions.push(among('sub', new Set(tokens.map(({ sub }) => sub))));
    return this.connection.query<Hit[]>(
      `SELECT kind, value, not_before FROM revocations WHERE ${conditions.join(' OR ')}`,
      values,
    );
  }
}

/** One row that says whether there is any account to ask about: its place in the index costs next to nothing. */
const FIRST_ACCOUNT = `(kind = 'sub' AND value = (SELECT MIN(value) FROM revocations WHERE kind = 'sub'))`;

/** Whether what a token says of its time is before what was said of its account's. */
function isBefore(iat: number, hit: Hit | undefined): boolean {
  if (hit === undefined) return false;
  return hit.not_before === null || iat * 1000 < instantOf(hit.not_before).getTime();
}
