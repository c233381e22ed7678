import type { Command } from 'commander';
import { open, type FileHandle } from 'node:fs/promises';
import { addAbortSignal, type Readable } from 'node:stream';
import { UserImportService, type ImportCounts } from '../auth/account/user-import.service.js';
import { MAX_LINE_BYTES } from '../auth/account/user-import-line.js';
import { readLines, type Line } from './lines.js';
import { operator, type InContext } from './operator.js';
import { CommandFailed, complain, print, printJson } from './output.js';
import { Progress } from './progress.js';

interface Source {
  stream: Readable;
  /** Of a regular file. */
  bytes: number | undefined;
}

/** Adds the import of accounts from another system. */
export function addImportCommand(program: Command, inContext: InContext): void {
  program
    .command('user:import')
    .description('make accounts of a file from another system; may be repeated')
    .requiredOption(
      '--file <path>',
      'one JSON object a line: email, password_hash, email_verified, created_at; - for stdin',
    )
    .option('--json', 'print one JSON object on a line')
    .action(async ({ file, json }: { file: string; json?: true }) => {
      const source = await openSource(file);
      const { isInterrupted, ...counts } = await importFrom(source, inContext);
      if (isInterrupted) complain('Interrupted: the same command goes on from here.');
      if (json) printJson(counts);
      else print(`imported ${counts.imported}, skipped ${counts.skipped}, bad ${counts.bad}`);
      if (isInterrupted || counts.bad > 0) process.exitCode = 1;
    });
}

async function importFrom(source: Source, inContext: InContext): Promise<ImportCounts & { isInterrupted: boolean }> {
  const progress = new Progress('lines', source.bytes);
  const interruption = new AbortController();
  const interrupt = () => interruption.abort();
  // Once: whoever asks twice does not want to wait for the batch.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupt);
  const lines = shown(untilAborted(source.stream, interruption.signal), progress);
  try {
    const counts = await inContext((app) =>
      app.get(UserImportService, { strict: false }).import(lines, operator(), (number, reason) => {
        progress.clear();
        complain(`line ${number}: ${reason}`);
      }),
    );
    return { ...counts, isInterrupted: interruption.signal.aborted };
  } finally {
    progress.clear();
    source.stream.destroy();
  }
}

async function* shown(lines: AsyncIterable<Line>, progress: Progress): AsyncGenerator<Line, void, void> {
  for await (const line of lines) {
    progress.show(line.number, line.offset);
    yield line;
  }
}

/** The lines; none any more once it is aborted, even where the next one is still waited for. */
async function* untilAborted(stream: Readable, signal: AbortSignal): AsyncGenerator<Line, void, void> {
  if (signal.aborted) return;
  try {
    for await (const line of readLines(addAbortSignal(signal, stream), MAX_LINE_BYTES)) {
      if (signal.aborted) return;
      yield line;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

async function openSource(path: string): Promise<Source> {
  if (path === '-') return { stream: process.stdin, bytes: undefined };
  let file: FileHandle | undefined;
  try {
    file = await open(path);
    const stats = await file.stat();
    if (stats.isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' });
    return { stream: file.createReadStream(), bytes: stats.isFile() ? stats.size : undefined };
  } catch (error) {
    await file?.close();
    throw new CommandFailed(`${path} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}
