import { Global, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { BudgetRefusals } from './budget-refusals.js';
import { RateLimit } from './rate-limit.entity.js';
import { RateLimits } from './rate-limits.js';

@Global()
@Module({
  imports: [TypeOrmModule.forFeature([RateLimit])],
  providers: [BudgetRefusals, RateLimits],
  exports: [BudgetRefusals, RateLimits],
})
export class LimitsModule {}
