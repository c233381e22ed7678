import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { LessThan, type EntityManager, type Repository } from 'typeorm';
import { deleteBatch } from '../database/delete-batch.js';
import { insertRows } from '../database/raw-rows.js';
import { Device } from './device.entity.js';

@Injectable()
export class DeviceRepository {
  constructor(@InjectRepository(Device) private readonly rows: Repository<Device>) {}

  /** The device, if this is its present generation and the account's. */
  find(id: string, userId: string, generation: number): Promise<Device | null> {
    return this.rows.findOneBy({ id, userId, generation });
  }

  async add(device: Device, transaction: EntityManager): Promise<void> {
    await insertRows(transaction, Device, [device]);
  }

  /** Moves a device to its next generation. Of any number of callers with the same one wins. @returns whether this did. */
  async rotate({ id, generation }: Device, now: Date, transaction: EntityManager): Promise<boolean> {
    const { affected } = await transaction.update(
      Device,
      { id, generation },
      { generation: generation + 1, lastUsedAt: now },
    );
    return affected === 1;
  }

  /** Forgets all devices of an account but the `kept` that were used last. */
  async deleteSurplus(userId: string, kept: number, transaction: EntityManager): Promise<void> {
    const surplus = await transaction.find(Device, {
      select: { id: true },
      where: { userId },
      order: { lastUsedAt: 'DESC', id: 'DESC' },
      skip: kept,
      take: kept,
    });
    if (surplus.length > 0)
      await transaction.delete(
        Device,
        surplus.map(({ id }) => id),
      );
  }

  /** Every device of an account, newest use first. */
  findAll(userId: string): Promise<Device[]> {
    return this.rows.find({ where: { userId }, order: { lastUsedAt: 'DESC', id: 'DESC' } });
  }

  async deleteAll(userId: string, transaction: EntityManager): Promise<void> {
    await transaction.delete(Device, { userId });
  }

  /** Deletes up to `limit` devices that were not used since `before`. @returns how many. */
  purge(before: Date, limit: number): Promise<number> {
    return deleteBatch(this.rows, 'id', { lastUsedAt: LessThan(before) }, limit);
  }
}
