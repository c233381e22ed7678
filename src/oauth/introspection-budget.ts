import { Injectable } from '@nestjs/common';
import type { Client } from '../common/principal.js';
import { Config } from '../config/config.js';
import { BudgetRefusals } from '../limits/budget-refusals.js';
import { RateLimits } from '../limits/rate-limits.js';
import type { ServiceClient } from './service-client.entity.js';

/** A block is so small a part of the budget. */
const BLOCKS = 100;

/**
 * How often a client may introspect. An instance takes a hundredth of the budget at a time and counts that by itself: a write
 * into the database for each request would cost more than the answer.
 */
@Injectable()
export class IntrospectionBudget {
  private readonly blocks = new Map<string, { left: number; endsAt: number }>();
  private readonly taking = new Map<string, Promise<void>>();

  constructor(
    private readonly config: Config,
    private readonly limits: RateLimits,
    private readonly refusals: BudgetRefusals,
  ) {}

  /** @throws TooManyRequests */
  async use(client: ServiceClient, from: Client): Promise<void> {
    while (!this.useWhatIsLeft(client)) await this.takeBlock(client.id, from);
  }

  /** Uses one of the block that is at hand. @returns whether there was one. */
  useWhatIsLeft({ id }: ServiceClient): boolean {
    if (this.config.rateLimits === 'off') return true;
    const block = this.blocks.get(id);
    if (!block || block.left === 0 || block.endsAt <= performance.now()) return false;
    block.left -= 1;
    return true;
  }

  /** What `useWhatIsLeft` has used, for a request that is counted elsewhere. */
  giveBack({ id }: ServiceClient): void {
    const block = this.blocks.get(id);
    if (block) block.left += 1;
  }

  /** One at a time: those who find the block used up together share the next one. */
  private takeBlock(id: string, from: Client): Promise<void> {
    const taking = this.taking.get(id) ?? this.takeOne(id, from).finally(() => this.taking.delete(id));
    this.taking.set(id, taking);
    return taking;
  }

  private async takeOne(id: string, from: Client): Promise<void> {
    const size = this.limits.blockOf('introspection', BLOCKS);
    const use = await this.limits.use('introspection', id, size);
    if (use.isAllowed) {
      this.blocks.set(id, { left: size, endsAt: performance.now() + use.resetSeconds * 1000 });
      return;
    }
    await this.refusals.refuse('introspection', use, { actor: { type: 'client', id }, client: from });
  }
}
