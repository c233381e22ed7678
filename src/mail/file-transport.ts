import { join } from 'node:path';
import type { Config } from '../config/config.js';
import { MailFolder } from './mail-folder.js';
import { MailTransport, mimeOptions, type OutgoingMail } from './mail-transport.js';

/** Where mails go outside production when there is no `SMTP_URL`. */
export function mailFolderOf({ dataDir }: Config): MailFolder {
  return new MailFolder(join(dataDir, 'outbox'));
}

/** Writes mails to `DATA_DIR/outbox`. In development it also prints a line with subject, recipient and link. */
export class FileTransport extends MailTransport {
  private readonly folder: MailFolder;

  constructor(
    private readonly config: Config,
    private readonly print = (line: string): unknown => process.stdout.write(line),
  ) {
    super();
    this.folder = mailFolderOf(config);
  }

  async send(mail: OutgoingMail): Promise<void> {
    const { id, to, subject, text, html, link, createdAt } = mail;
    const { default: MailComposer } = await import('nodemailer/lib/mail-composer');
    const message = await new MailComposer(mimeOptions(mail, this.config)).compile().build();
    await this.folder.add(
      { ID: id, Subject: subject, To: [{ Address: to }], Created: createdAt.toISOString(), Text: text, HTML: html },
      message,
    );
    // The link is a secret: nowhere but where one person develops does it go to the output.
    if (this.config.nodeEnv === 'development') {
      this.print(`mail to ${to}: ${subject}${link === null ? '' : `: ${link}`}\n`);
    }
  }
}
