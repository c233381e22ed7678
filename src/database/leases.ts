import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { randomUUID } from 'node:crypto';
import { LessThanOrEqual, MoreThan, type Repository } from 'typeorm';
import { Lease } from './lease.entity.js';

/** Of how many durations a lease may seem to be when another instance's clock is ahead. */
const CLOCKS_APART = 4;

/**
 * Work that one instance is enough for. A lease spares the others the work; it does not exclude them, for a process may be
 * stopped for longer than its lease. What must not happen twice is decided by the rows themselves.
 */
@Injectable()
export class Leases {
  private readonly holder = randomUUID();

  constructor(@InjectRepository(Lease) private readonly rows: Repository<Lease>) {}

  /**
   * Takes a lease, or keeps it. One that ends far later than it would have been let, by a clock that was ahead, counts as ended.
   *
   * @returns whether it is this instance's until `expiresAt`.
   */
  async take(name: string, now: Date, expiresAt: Date): Promise<boolean> {
    const row = { holder: this.holder, expiresAt };
    const tooLate = new Date(now.getTime() + CLOCKS_APART * (expiresAt.getTime() - now.getTime()));
    const { affected } = await this.rows.update(
      [
        { name, holder: this.holder },
        { name, expiresAt: LessThanOrEqual(now) },
        { name, expiresAt: MoreThan(tooLate) },
      ],
      row,
    );
    if (affected === 1) return true;
    await this.rows
      .createQueryBuilder()
      .insert()
      .values({ name, ...row })
      .orIgnore()
      .updateEntity(false)
      .execute();
    return this.rows.existsBy({ name, holder: this.holder });
  }

  /** Gives a lease back before its time. */
  async release(name: string): Promise<void> {
    await this.rows.delete({ name, holder: this.holder });
  }
}
