import { expect } from 'vitest';
import type { Gatehouse } from './gatehouse.js';
import { runCli } from './server-process.js';

export interface CommandResult {
  code: number | null;
  stdout: string[];
  stderr: string[];
}

/** Runs an operator's command as a process of its own, on the database of an instance. */
export async function runCommand(gatehouse: Gatehouse, ...args: string[]): Promise<CommandResult> {
  const { code, program } = await runCli(gatehouse.env, ...args);
  return { code, stdout: program.stdout, stderr: program.stderr };
}

/** Runs a command that succeeds with `--json`. @returns its lines, and what it has said besides. */
export async function runJson(gatehouse: Gatehouse, ...args: string[]): Promise<{ lines: any[]; stderr: string[] }> {
  const { code, stdout, stderr } = await runCommand(gatehouse, ...args, '--json');
  expect(code, stderr.join('\n')).toBe(0);
  return { lines: stdout.map((line) => JSON.parse(line)), stderr };
}
