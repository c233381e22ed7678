import type { LoggerService } from '@nestjs/common';
import { createRequire } from 'node:module';
import { pino, type Bindings, type DestinationStream, type Level, type Logger } from 'pino';
import type Pretty from 'pino-pretty';

/**
 * The members a log line may have. Everything else is dropped before it is written: a secret that somebody passes to the
 * logger by mistake is a member nobody put here (ASVS 16.2.5).
 */
const ALLOWED = new Set([
  'event',
  'method',
  'route',
  'status',
  'code',
  'reason',
  'duration_ms',
  'ip',
  'context',
  'err',
  'wait_ms',
  'applied',
  'sessions',
  'revocations',
  'address',
  'signal',
  'setting',
  'meaning',
  'mail_id',
  'kind',
  'kid',
  'attempts',
  'purged',
  'outcome',
  'audit_id',
  'actor_type',
  'actor_id',
  'subject_id',
  'session_id',
  'user_agent',
  'request_id',
  'details',
]);

/** What Nest tells about itself at start, which nobody but a debugger wants. */
const CHATTY = new Set(['InstanceLoader', 'RoutesResolver', 'RouterExplorer', 'NestFactory', 'NestApplication']);

export interface LoggerSettings {
  level: string;
  /** For people in development; otherwise one JSON object a line. */
  isPretty: boolean;
  /** Where to; standard output by default. */
  destination?: DestinationStream;
}

/** The one logger of the process. Control characters are escaped by JSON, so a line is one line (ASVS 16.4.1). */
export function createLogger({ level, isPretty, destination }: LoggerSettings): Logger {
  return pino(
    {
      level,
      base: { service: 'gatehouse' },
      messageKey: 'message',
      // pino makes an error's message the line's message: where its key is not used, and where an error comes bare.
      errorKey: 'not-used',
      hooks: {
        logMethod([first, ...rest], write) {
          const line = first;
          if (line instanceof Error)
            return write.apply(this, [{ err: line }, ...rest] as unknown as Parameters<typeof write>);
          return write.apply(this, [first, ...rest] as Parameters<typeof write>);
        },
      },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }), log: allowed },
    },
    destination ?? (isPretty ? prettyStream() : pino.destination({ sync: true })),
  );
}

function prettyStream(): DestinationStream {
  const pretty = createRequire(import.meta.url)('pino-pretty') as typeof Pretty; // it is for people alone
  return pretty({ sync: true, singleLine: true, ignore: 'service', translateTime: 'SYS:HH:MM:ss' });
}

function allowed(fields: Record<string, unknown>): Record<string, unknown> {
  const kept = Object.entries(fields).filter(([name]) => ALLOWED.has(name));
  return Object.fromEntries(kept.map(([name, value]) => [name, name === 'err' ? describe(value) : value]));
}

/** Class, code and stack frames. Not the message: a driver's quotes the statement with its values. */
function describe(error: unknown): object {
  if (!(error instanceof Error)) return { type: typeof error };
  const { code, errno } = error as { code?: unknown; errno?: unknown };
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  return {
    type: error.name,
    ...(code !== undefined && { code }),
    ...(errno !== undefined && { errno }),
    stack: frames.slice(0, 12).map((line) => line.trim()),
    ...(error.cause instanceof Error && { cause: describe(error.cause) }),
  };
}

/**
 * A child of a logger that is made when it writes its first line: pino's takes a while to make, every request has one, and
 * most write nothing.
 */
export class LazyChild {
  private made: Logger | undefined;

  constructor(
    private readonly parent: Logger,
    private readonly bindings: Bindings,
  ) {}

  get level(): string {
    return this.parent.level;
  }
  isLevelEnabled(level: string): boolean {
    return this.parent.isLevelEnabled(level);
  }
  child(bindings: Bindings): Logger {
    return this.own.child(bindings);
  }
  silent(): void {}
  trace(...args: LineArguments): void {
    this.own.trace(...args);
  }
  debug(...args: LineArguments): void {
    this.own.debug(...args);
  }
  info(...args: LineArguments): void {
    this.own.info(...args);
  }
  warn(...args: LineArguments): void {
    this.own.warn(...args);
  }
  error(...args: LineArguments): void {
    this.own.error(...args);
  }
  fatal(...args: LineArguments): void {
    this.own.fatal(...args);
  }

  private get own(): Logger {
    return (this.made ??= this.parent.child(this.bindings));
  }
}

type LineArguments = [fields: unknown, message?: string, ...values: never[]];

/** Nest's logger interface over ours. An object is the fields of a line, a string its message. */
export class NestLogger implements LoggerService {
  constructor(private readonly logger: Logger) {}

  log(message: unknown, ...rest: unknown[]): void {
    this.write(CHATTY.has(String(rest.at(-1))) ? 'debug' : 'info', message, rest);
  }
  error(message: unknown, ...rest: unknown[]): void {
    this.write('error', message, rest);
  }
  warn(message: unknown, ...rest: unknown[]): void {
    this.write('warn', message, rest);
  }
  debug(message: unknown, ...rest: unknown[]): void {
    this.write('debug', message, rest);
  }
  verbose(message: unknown, ...rest: unknown[]): void {
    this.write('trace', message, rest);
  }

  private write(level: Level, message: unknown, rest: unknown[]): void {
    const context = { context: rest.at(-1) };
    if (message instanceof Error) this.logger[level]({ ...context, err: message });
    else if (typeof message === 'object') this.logger[level]({ ...context, ...message });
    else this.logger[level](context, typeof message === 'string' ? message : typeof message);
  }
}
