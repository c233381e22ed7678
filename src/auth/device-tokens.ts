import { Injectable } from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import type { EntityManager } from 'typeorm';
import { validate as isUuid } from 'uuid';
import { MasterKeys } from '../common/master-keys.js';
import type { Device } from './device.entity.js';
import { DeviceRepository } from './device.repository.js';

const MAC_CHARACTERS = 43;
/** Devices that an account knows; one more forgets the one that was not used for longest. */
export const MAX_DEVICES = 20;

/**
 * Tokens of devices that have logged in before (OWASP "device cookies"): `<device id>.<generation>.<mac>`, good for one
 * account, replaced at every login. Whoever shows one has failures of their own to make, so that nobody else's failures
 * lock them out. It opens nothing: the password is needed all the same.
 */
@Injectable()
export class DeviceTokens {
  constructor(
    private readonly masterKeys: MasterKeys,
    private readonly rows: DeviceRepository,
  ) {}

  /** The device behind a token, if it is this account's and its newest. Any other token is as good as none. */
  async recognise(token: string | undefined, userId: string | undefined): Promise<Device | undefined> {
    const [id, generation, mac, ...rest] = token?.split('.') ?? [];
    const isToken = isUuid(id) && /^\d{1,9}$/.test(generation ?? '') && mac?.length === MAC_CHARACTERS;
    if (!isToken || rest.length > 0 || userId === undefined) return undefined;
    const data = content(id as string, Number(generation), userId);
    if (!this.masterKeys.verifyMac('device-token', data, Buffer.from(mac, 'base64url'))) return undefined;
    return (await this.rows.find(id as string, userId, Number(generation))) ?? undefined;
  }

  /**
   * The token of the device's next login. A device that is not known, or whose token was used meanwhile, is a new one.
   *
   * @param known how many devices the account has.
   */
  async next(
    device: Device | undefined,
    userId: string,
    known: number,
    now: Date,
    transaction: EntityManager,
  ): Promise<string> {
    if (device && (await this.rows.rotate(device, now, transaction))) {
      return this.tokenOf({ ...device, generation: device.generation + 1 });
    }
    const added = { id: randomUUID(), userId, generation: 0, createdAt: now, lastUsedAt: now };
    await this.rows.add(added, transaction);
    if (known >= MAX_DEVICES) await this.rows.deleteSurplus(userId, MAX_DEVICES, transaction);
    return this.tokenOf(added);
  }

  private tokenOf({ id, generation, userId }: Device): string {
    const mac = this.masterKeys.mac('device-token', content(id, generation, userId));
    return `${id}.${generation}.${mac.toString('base64url')}`;
  }
}

function content(id: string, generation: number, userId: string): Buffer {
  return Buffer.from(`${id}.${generation}.${userId}`);
}
