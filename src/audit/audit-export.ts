import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { And, LessThan, MoreThan, MoreThanOrEqual, type FindOptionsWhere, type Repository } from 'typeorm';
import { AuditEvent } from './audit-event.entity.js';
import type { Period } from './seal.repository.js';

const PAGE = 1_000;
const EPOCH = new Date(0);

/** The events of a period as they are, for a system that collects them. */
@Injectable()
export class AuditExport {
  constructor(@InjectRepository(AuditEvent) private readonly rows: Repository<AuditEvent>) {}

  /** In the order of their time. Holds one page. */
  async *stream({ since = EPOCH, until }: Period): AsyncGenerator<AuditEvent, void, void> {
    const end = until ? [LessThan(until)] : [];
    let where: FindOptionsWhere<AuditEvent>[] = [{ at: And(MoreThanOrEqual(since), ...end) }];
    for (;;) {
      const page = await this.rows.find({ where, order: { at: 'ASC', id: 'ASC' }, take: PAGE });
      yield* page;
      const last = page.at(-1);
      if (!last || page.length < PAGE) return;
      where = [{ at: last.at, id: MoreThan(last.id) }, { at: And(MoreThan(last.at), ...end) }];
    }
  }
}
