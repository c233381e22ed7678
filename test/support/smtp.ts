import { simpleParser, type ParsedMail } from 'mailparser';
import { EventEmitter, once } from 'node:events';
import type { Socket } from 'node:net';
import { SMTPServer, type SMTPServerDataStream, type SMTPServerSession } from 'smtp-server';

const PATIENCE_MS = 10_000;

/**
 * What the server does with who comes: takes the mail; refuses its recipient with this status; says nothing, not even
 * hello; takes the mail and never answers; takes the mail and hangs up instead of answering (not with TLS).
 */
export type SmtpBehaviour = 'accept' | { refuse: number } | 'silent' | 'hang' | 'drop';

/** A mail that the server has taken, as a reader sees it. */
export interface CaughtMail {
  /** The recipients of the envelope: where it really went. */
  to: string[];
  from: string;
  subject: string;
  text: string;
  html: string;
  messageId: string;
  headers: ParsedMail['headers'];
  /** As it came over the wire. */
  raw: string;
}

export interface SmtpSettings {
  /** A free one by default. */
  port?: number;
  behaviour?: SmtpBehaviour;
  /** PEM. With them it offers STARTTLS, or speaks TLS at once where `secure` is set; without it has no TLS. */
  tls?: { key: string; cert: string; secure?: boolean };
  /** Whom it lets in; everybody without a login by default. */
  login?: { user: string; password: string };
}

/** A real SMTP server inside the test process. */
export class Smtp {
  readonly messages: CaughtMail[] = [];
  /** May be changed at any time; holds for what comes from then on. */
  behaviour: SmtpBehaviour;
  /** How many connections it has had. */
  connections = 0;
  /** Stays the same when it has stopped. */
  port = 0;
  private readonly news = new EventEmitter();
  private readonly server: SMTPServer;
  private readonly sockets = new Set<Socket>();

  constructor({ behaviour = 'accept', tls, login }: SmtpSettings) {
    this.behaviour = behaviour;
    this.server = new SMTPServer({
      ...(tls ?? {}),
      disabledCommands: [...(tls ? [] : ['STARTTLS']), ...(login ? [] : ['AUTH'])],
      allowInsecureAuth: true,
      disableReverseLookup: true,
      hideENHANCEDSTATUSCODES: false,
      closeTimeout: 50,
      onConnect: (_session, callback) => {
        this.connections += 1;
        if (this.behaviour !== 'silent') callback();
      },
      onAuth: ({ username, password }, _session, callback) => {
        const isRight = username === login?.user && password === login?.password;
        callback(isRight ? null : new Error('no'), { user: username });
      },
      onRcptTo: (_address, _session, callback) => {
        if (typeof this.behaviour === 'string') return callback();
        callback(Object.assign(new Error('refused'), { responseCode: this.behaviour.refuse }));
      },
      onData: (stream, session, callback) => {
        void this.take(stream, session).then(() => {
          if (this.behaviour === 'drop') for (const socket of this.sockets) socket.destroy();
          else if (this.behaviour !== 'hang') callback();
        });
      },
    });
    this.server.on('error', () => {}); // a client that hangs up
    // Not below TLS: Node 20 dies of a socket that is destroyed in the middle of its handshake.
    if (tls) return;
    this.server.server.on('connection', (socket: Socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket)).on('error', () => {});
    });
  }

  async listen(port: number): Promise<this> {
    this.server.listen(port, '127.0.0.1');
    await once(this.server.server, 'listening');
    this.port = (this.server.server.address() as { port: number }).port;
    return this;
  }

  /** For SMTP_URL; without TLS, because the host is loopback. */
  get url(): string {
    return `smtp://127.0.0.1:${this.port}`;
  }

  /** The first mail that fits, as soon as it is there. */
  async waitFor(fits: (mail: CaughtMail) => boolean): Promise<CaughtMail> {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    for (;;) {
      const found = this.messages.find(fits);
      if (found) return found;
      await once(this.news, 'mail', { signal }).catch(() => {
        const seen = this.messages.map(({ to, subject }) => `${to.join()}: ${subject}`).join('\n');
        throw new Error(`No such mail in ${PATIENCE_MS} ms, but:\n${seen}`);
      });
    }
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  private async take(stream: SMTPServerDataStream, session: SMTPServerSession): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    const raw = Buffer.concat(chunks);
    const parsed = await simpleParser(raw, { skipTextToHtml: true, skipTextLinks: true });
    const { mailFrom, rcptTo } = session.envelope;
    this.messages.push({
      to: rcptTo.map(({ address }) => address),
      from: mailFrom === false ? '' : mailFrom.address,
      subject: parsed.subject ?? '',
      text: parsed.text ?? '',
      html: parsed.html === false ? '' : (parsed.html ?? ''),
      messageId: parsed.messageId ?? '',
      headers: parsed.headers,
      raw: raw.toString('utf8'),
    });
    this.news.emit('mail');
  }
}

/** An SMTP server that listens on loopback until it is stopped. */
export function startSmtp(settings: SmtpSettings = {}): Promise<Smtp> {
  return new Smtp(settings).listen(settings.port ?? 0);
}
