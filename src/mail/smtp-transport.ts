import { readFileSync } from 'node:fs';
import type { Transporter } from 'nodemailer';
import type { SMTPTransportOptions } from 'nodemailer/lib/smtp-transport';
import { hostOf, smtpTlsOf, type Config } from '../config/config.js';
import { MailTransport, mimeOptions, type OutgoingMail } from './mail-transport.js';

const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Mail over SMTP, to the server of `SMTP_URL`. A connection per mail: at our pace a pool saves little, and a connection
 * that the server closed meanwhile costs an attempt.
 */
export class SmtpTransport extends MailTransport {
  private readonly options: SMTPTransportOptions;
  private transporter: Promise<Transporter> | undefined;

  /** @throws the file system's error when the file of `tls-ca` cannot be read. */
  constructor(
    private readonly config: Config,
    connectTimeoutMs = CONNECT_TIMEOUT_MS,
  ) {
    super();
    this.options = smtpOptions(config.smtpUrl, connectTimeoutMs);
  }

  async send(mail: OutgoingMail, signal: AbortSignal): Promise<void> {
    this.transporter ??= import('nodemailer').then(({ createTransport }) => createTransport(this.options));
    await (await this.transporter).sendMail({ ...mimeOptions(mail, this.config), xMailer: false, signal });
  }
}

function smtpOptions(smtpUrl: string, connectTimeoutMs: number): SMTPTransportOptions {
  const url = new URL(smtpUrl);
  const secure = url.protocol === 'smtps:';
  return {
    host: hostOf(url),
    port: Number(url.port || (secure ? 465 : 587)),
    secure,
    ...(url.username !== '' && {
      auth: { user: decodeURIComponent(url.username), pass: decodeURIComponent(url.password) },
      forceAuth: true, // a server that no longer offers a login is not the one that was configured
    }),
    ...tlsOptions(url),
    // Nothing for the answer to a message: a server may take its time over it (RFC 5321, section 4.5.3.2), and whoever
    // hangs up meanwhile sends twice. The whole has a deadline, which is the caller's signal.
    connectionTimeout: connectTimeoutMs,
    greetingTimeout: connectTimeoutMs,
    disableFileAccess: true,
    disableUrlAccess: true,
  };
}

function tlsOptions(url: URL): SMTPTransportOptions {
  // `smtps:` is TLS from the first byte, whatever else the address says.
  if (smtpTlsOf(url) === 'DISABLED' && url.protocol === 'smtp:') return { ignoreTLS: true };
  const ca = url.searchParams.get('tls-ca');
  return {
    requireTLS: true,
    tls: { minVersion: 'TLSv1.2', rejectUnauthorized: true, ...(ca && { ca: readFileSync(ca, 'utf8') }) },
  };
}
