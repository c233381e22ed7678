import { Module, type DynamicModule } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { Config } from '../config/config.js';
import { DevOutboxController } from './dev-outbox.controller.js';
import { FileTransport, mailFolderOf } from './file-transport.js';
import { MailFolder } from './mail-folder.js';
import { MailTransport, NoTransport } from './mail-transport.js';
import { OutboxMessage } from './outbox-message.entity.js';
import { Outbox } from './outbox.js';
import { OutboxRepository } from './outbox.repository.js';
import { OutboxWorker } from './outbox.worker.js';
import { SmtpTransport } from './smtp-transport.js';

/** The outbox, for everybody who tells people something, and its worker, for whoever starts and stops the process. */
@Module({})
export class MailModule {
  static with(config: Config): DynamicModule {
    const isReadable = config.nodeEnv === 'development' && config.smtpUrl === '';
    return {
      module: MailModule,
      global: true, // a dynamic module is one only where it is made; who imports the class would get another
      imports: [TypeOrmModule.forFeature([OutboxMessage])],
      controllers: isReadable ? [DevOutboxController] : [],
      providers: [
        Outbox,
        OutboxRepository,
        OutboxWorker,
        { provide: MailTransport, useFactory: transportOf, inject: [Config] },
        { provide: MailFolder, useFactory: mailFolderOf, inject: [Config] },
      ],
      exports: [Outbox, OutboxWorker],
    };
  }
}

/** SMTP where it is configured; else files, and in production nothing. */
export function transportOf(config: Config): MailTransport {
  if (config.smtpUrl !== '') return new SmtpTransport(config);
  return config.isProduction ? new NoTransport() : new FileTransport(config);
}
