import type { Logger } from 'pino';

export interface AnsweredRequest {
  method: string;
  /** The pattern of the route, because a path may hold what a log should not; undefined when there is none. */
  route: string | undefined;
  status: number;
  durationMs: number;
  /** The client's address. */
  ip: string;
}

/**
 * The line of the access log. Load balancers ask for our health all the time: theirs is for debugging.
 *
 * @param describe called only where the line is written.
 */
export function logAnswer(log: Logger, url: string, describe: () => AnsweredRequest & { requestId?: string }): void {
  const level = url.startsWith('/health/') ? 'debug' : 'info';
  if (!log.isLevelEnabled(level)) return;
  const { requestId, durationMs, ...rest } = describe();
  log[level]({
    ...(requestId && { request_id: requestId }),
    event: 'http_request',
    ...rest,
    duration_ms: Math.round(durationMs * 10) / 10,
  });
}
