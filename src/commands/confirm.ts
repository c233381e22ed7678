import { createInterface } from 'node:readline/promises';
import { canonicalEmail } from '../users/email-address.js';

/** Whether somebody sits in front of it who can be asked. */
export function isTerminal(): boolean {
  return process.stdin.isTTY && process.stdout.isTTY;
}

/**
 * Asks on the terminal for the address of what is about to go, which nobody types by mistake.
 *
 * @returns false for any other answer, and for none (Ctrl-C, Ctrl-D).
 */
export function confirmByEmail(email: string): Promise<boolean> {
  const canonical = canonicalEmail(email);
  const isRight = (typed: string) => canonical !== undefined && canonicalEmail(typed) === canonical;
  return confirmByTyping(`Type the e-mail address to delete ${email}: `, isRight);
}

/** As `confirmByEmail`, with a question of its own. */
export async function confirmByTyping(question: string, isRight: (typed: string) => boolean): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const noAnswer = new Promise<string>((resolve) => terminal.once('close', () => resolve('')));
  const answer = terminal.question(question).catch(() => '');
  const typed = await Promise.race([answer, noAnswer]);
  terminal.close();
  return isRight(typed.trim());
}
