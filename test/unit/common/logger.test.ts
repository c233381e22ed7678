import { describe, expect, test } from 'vitest';
import { createLogger, NestLogger } from '../../../src/common/logger.js';

function capture(level = 'debug') {
  const lines: string[] = [];
  const logger = createLogger({ level, isPretty: false, destination: { write: (line) => void lines.push(line) } });
  return { lines, logger, nest: new NestLogger(logger) };
}

const canary = 'canary-kettle';

// Proves ASVS 16.2.5, CS Logging: no secret in a log line, an error body or an event
describe('redaction by allowlist', () => {
  test('a member nobody allowed is not written', () => {
    const { lines, logger } = capture();
    logger.info({ event: 'x', password: canary, body: { token: canary }, headers: { authorization: canary } });
    expect(lines.join()).not.toContain(canary);
    expect(JSON.parse(lines[0]!)).toMatchObject({ level: 'info', event: 'x', service: 'gatehouse' });
  });

  test('an error is its class, its code and where it was, never its message', () => {
    const { lines, logger, nest } = capture();
    const error = Object.assign(new Error(`Duplicate entry '${canary}'`, { cause: new Error(canary) }), {
      code: 'ER_DUP_ENTRY',
      errno: 1062,
      sql: canary,
      parameters: [canary],
    });
    logger.error({ err: error });
    logger.error(error);
    logger.error(error, 'it failed');
    nest.error(error, 'Context');
    expect(lines).toHaveLength(4);
    for (const line of lines) {
      expect(line).not.toContain(canary);
      expect(JSON.parse(line).err).toMatchObject({ type: 'Error', code: 'ER_DUP_ENTRY', errno: 1062 });
    }
  });
});

// Proves ASVS 16.4.1: nothing that a client sends makes a line of its own
test('a line is one line, whatever is in it', () => {
  const { lines, logger } = capture();
  logger.info({ event: 'x', reason: 'a\r\n{"event":"forged"}\u001b[31m' });
  expect(lines).toHaveLength(1);
  expect(lines[0]!.trimEnd()).not.toMatch(/[\r\n\u001b]/);
  expect(JSON.parse(lines[0]!).event).toBe('x');
});

// Proves ASVS 16.2.2: times are UTC
test('the time is ISO 8601 in UTC, the level a word', () => {
  const { lines, nest } = capture();
  nest.warn({ event: 'x' }, 'Database');
  const line = JSON.parse(lines[0]!);
  expect(line).toMatchObject({ level: 'warn', context: 'Database' });
  expect(new Date(line.time).toISOString()).toBe(line.time);
});
