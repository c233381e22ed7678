import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import type { EntityManager, Repository } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { Clock } from '../common/clock.js';
import type { Client } from '../common/principal.js';
import { findRows } from '../database/raw-rows.js';
import { MailRequest } from './mail-request.entity.js';

@Injectable()
export class MailRequestRepository {
  constructor(
    @InjectRepository(MailRequest) private readonly rows: Repository<MailRequest>,
    private readonly clock: Clock,
  ) {}

  async add(
    { kind, emailCanonical }: Pick<MailRequest, 'kind' | 'emailCanonical'>,
    { ip, userAgent, requestId }: Client,
    transaction: EntityManager = this.rows.manager,
  ): Promise<void> {
    const createdAt = this.clock.now();
    const row: MailRequest = { id: uuidv7(), kind, emailCanonical, ip, userAgent, requestId, createdAt };
    await transaction.insert(MailRequest, row);
  }

  /** The oldest ones, at most `limit`; `afterId` is the last one of the page before. */
  findOldest(limit: number, afterId = ''): Promise<MailRequest[]> {
    return findRows(this.rows.manager, MailRequest, 'WHERE id > ? ORDER BY id LIMIT ?', [afterId, limit]);
  }

  countWaiting(): Promise<number> {
    return this.rows.count();
  }

  /** Takes a request to answer it in the same transaction. @returns false when another instance has. */
  async take(id: string, transaction: EntityManager): Promise<boolean> {
    const { affected } = await transaction.delete(MailRequest, { id });
    return affected === 1;
  }
}
