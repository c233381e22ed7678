import { readFileSync } from 'node:fs';
import { CommandFailed } from './output.js';

/** A file that the operator has named, as UTF-8. @throws CommandFailed when it cannot be read. */
export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new CommandFailed(`${path} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}
