import { Controller, Get, Param, Query } from '@nestjs/common';
import { ApiExcludeController } from '../common/openapi-decorators.js';
import { validate as isUuid } from 'uuid';
import { NotFound } from '../common/domain-error.js';
import { Public } from '../common/principal.js';
import { MailFolder, type StoredMail } from './mail-folder.js';

const MOST_RESULTS = 50;

type Summary = Pick<StoredMail, 'ID' | 'Subject' | 'To' | 'Created'>;

/**
 * The mails of `DATA_DIR/outbox` as Mailpit's API shows those that it caught, so that the same client reads either. In
 * development without SMTP only: it gives everybody everybody's mail.
 */
@Public()
@ApiExcludeController()
@Controller('dev/mail/api/v1')
export class DevOutboxController {
  constructor(private readonly folder: MailFolder) {}

  /** Of Mailpit's search language it knows `to:<address>` alone; the newest come first, at most 50. */
  @Get('search')
  async search(@Query('query') query: unknown): Promise<{ messages: Summary[] }> {
    const address = /^to:"?([^"\s]+)"?$/.exec(typeof query === 'string' ? query : '')?.[1]?.toLowerCase();
    const messages: Summary[] = [];
    for await (const { ID, Subject, To, Created } of this.folder.all()) {
      if (messages.length === MOST_RESULTS) break;
      if (To.some(({ Address }) => Address.toLowerCase() === address)) messages.push({ ID, Subject, To, Created });
    }
    return { messages };
  }

  @Get('message/:id')
  async message(@Param('id') id: string): Promise<StoredMail> {
    const mail = isUuid(id) ? await this.folder.find(id.toLowerCase()) : undefined;
    if (!mail) throw new NotFound('no_such_mail');
    return mail;
  }
}
