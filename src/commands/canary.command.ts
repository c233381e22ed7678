import { InvalidArgumentError, type Command } from 'commander';
import { readFileSync } from 'node:fs';
import type { Config } from '../config/config.js';
import { loadConfig } from '../config/load-config.js';
import type { VerifierOptions } from '../verifier/verifier.js';
import { CanaryFailed, measureLogouts, quantile, type Propagation } from './logout-canary.js';
import { CommandFailed, print, printJson } from './output.js';
import { Progress } from './progress.js';

interface Options {
  url?: string[];
  email: string;
  passwordFile: string;
  clientId?: string;
  clientSecretFile?: string;
  rounds: number;
  json?: true;
}

/** Adds the proof of the promise that a logout is true everywhere, for whoever does not want to believe it. */
export function addCanaryCommand(program: Command): void {
  program
    .command('canary:logout')
    .description('log in, log out, and measure how long the token is still accepted, by instances and by verifiers')
    .requiredOption('--email <address>', 'of an account that is there for this')
    .requiredOption('--password-file <file>', 'its password, on the first line')
    .option('--url <url...>', 'the instances of the API; the first is logged in to (default: PUBLIC_URL)')
    .option('--client-id <id>', 'of a client for this: a verifier follows the feed of each instance')
    .option('--client-secret-file <file>', 'its secret, on the first line')
    .option('--rounds <number>', '1 to 1000', parseRounds, 10)
    .option('--json', 'print one JSON object for each place')
    .action(measure);
}

async function measure(options: Options): Promise<void> {
  const config = loadConfig(process.env, { serves: false });
  const urls = (options.url ?? [config.publicUrl]).map((url) => url.replace(/\/$/, ''));
  const progress = new Progress('logouts', options.rounds);
  try {
    const propagations = await measureLogouts({
      urls,
      email: options.email,
      password: firstLine(options.passwordFile),
      verifiers: verifiersOf(urls, options, config),
      rounds: options.rounds,
      onRound: (round) => progress.show(round),
    });
    progress.clear();
    for (const propagation of propagations) tell(propagation, options.json);
  } catch (error) {
    progress.clear();
    throw error instanceof CanaryFailed || error instanceof TypeError ? new CommandFailed(wordsOf(error)) : error;
  }
}

function verifiersOf(urls: string[], { clientId, clientSecretFile }: Options, config: Config): VerifierOptions[] {
  if (clientId === undefined && clientSecretFile === undefined) return [];
  if (clientId === undefined || clientSecretFile === undefined) {
    throw new CommandFailed('Give both --client-id and --client-secret-file, or neither.');
  }
  const { issuer, audience } = config;
  const clientSecret = firstLine(clientSecretFile);
  return urls.map((baseUrl) => ({ issuer, audience, clientId, clientSecret, baseUrl }));
}

function tell({ place, ms }: Propagation, json: true | undefined): void {
  const rounded = (value: number) => Math.round(value * 10) / 10;
  const [median, p99, max] = [0.5, 0.99, 1].map((part) => rounded(quantile(ms, part)));
  if (json) printJson({ place, rounds: ms.length, median_ms: median, p99_ms: p99, max_ms: max });
  else print(`${place}: median ${median} ms, p99 ${p99} ms, longest ${max} ms, of ${ms.length} logouts`);
}

/** `fetch` tells by a TypeError that it had no answer, and its cause tells why. */
function wordsOf({ message, cause }: Error): string {
  const { code } = (cause ?? {}) as NodeJS.ErrnoException;
  return code === undefined ? message : `${message} (${code})`;
}

function firstLine(path: string): string {
  try {
    return readFileSync(path, 'utf8').split(/\r?\n/)[0] ?? '';
  } catch (error) {
    throw new CommandFailed(`${path} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}

function parseRounds(text: string): number {
  if (!/^\d{1,4}$/.test(text) || Number(text) < 1 || Number(text) > 1_000) {
    throw new InvalidArgumentError('Give a number from 1 to 1000.');
  }
  return Number(text);
}
