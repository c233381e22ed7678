import { Module, type DynamicModule } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import type { Config } from '../config/config.js';
import { OutboxMessage } from './outbox-message.entity.js';
import { OutboxRepository } from './outbox.repository.js';
import { Outbox } from './outbox.js';

/** Mail for everybody who tells people something. */
@Module({})
export class MailModule {
  static with(_config: Config): DynamicModule {
    return {
      module: MailModule,
      global: true,
      imports: [TypeOrmModule.forFeature([OutboxMessage])],
      providers: [Outbox, OutboxRepository],
      exports: [Outbox],
    };
  }
}
