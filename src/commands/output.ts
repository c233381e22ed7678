import { once } from 'node:events';

/** The command did not do what was asked; the message is all that the operator is told. */
export class CommandFailed extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'CommandFailed';
  }
}

/** Characters that steer a terminal or cannot be seen: what strangers have sent is printed too. */
const INVISIBLE = /\p{C}|\u2028|\u2029/gu;

/** The text with every such character replaced. */
export function printable(text: string): string {
  return text.replace(INVISIBLE, '\ufffd');
}

/** A line of the result. Nothing else goes to standard output. */
export function print(line: string): void {
  process.stdout.write(`${printable(line)}\n`);
}

/** One JSON object on a line of its own. */
export function printJson(value: object): void {
  process.stdout.write(`${jsonLine(value)}\n`);
}

/** One JSON object on a line, as soon as whoever reads has taken what came before: for a result of any length. */
export async function streamJson(value: object): Promise<void> {
  if (!process.stdout.write(`${jsonLine(value)}\n`)) await once(process.stdout, 'drain');
}

/** JSON in which every character that cannot be seen is escaped. */
export function jsonLine(value: object): string {
  const escape = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(value).replace(INVISIBLE, (character) => character.split('').map(escape).join(''));
}

/** What the operator should know beside the result. */
export function complain(line: string): void {
  process.stderr.write(`${printable(line)}\n`);
}

/** Lines of name and value, the values below each other. */
export function fieldLines(fields: Record<string, unknown>): string[] {
  const width = Math.max(...Object.keys(fields).map((name) => name.length));
  return Object.entries(fields).map(([name, value]) => `${name.padEnd(width)}  ${inWords(value)}`);
}

function inWords(value: unknown): string {
  if (value === null || value === '') return '-';
  if (value instanceof Date) return value.toISOString();
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
