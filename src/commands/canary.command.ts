import { InvalidArgumentError, type Command } from 'commander';
import type { Config } from '../config/config.js';
import { loadConfig } from '../config/load-config.js';
import type { VerifierOptions } from '../verifier/verifier.js';
import { CanaryFailed, measureLogouts, quantile, type Propagation } from './logout-canary.js';
import { CommandFailed, print, printJson } from './output.js';
import { Progress } from './progress.js';
import { readText } from './read-text.js';

interface Options {
  url?: string[];
  email: string;
  passwordFile: string;
  clientId?: string;
  clientSecretFile?: string;
  rounds: number;
  timeout: number;
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
    .option('--rounds <number>', '1 to 1000', numberUpTo(1_000), 10)
    .option(
      '--timeout <seconds>',
      '1 to 300: a place that accepts the token for longer never refuses',
      numberUpTo(300),
      30,
    )
    .option('--json', 'print one JSON object for each place; null is never')
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
      giveUpMs: options.timeout * 1000,
      onRound: (round) => progress.show(round),
    });
    progress.clear();
    for (const propagation of propagations) tell(propagation, options.json);
    const late = propagations.filter(({ ms }) => ms.includes(Infinity)).map(({ place }) => place);
    if (late.length > 0) {
      throw new CommandFailed(`Accepted ${options.timeout} seconds after its logout still: by ${late.join(', ')}.`);
    }
  } catch (error) {
    progress.clear();
    throw error instanceof CanaryFailed ? new CommandFailed(error.message) : error;
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
  else
    print(`${place}: median ${inWords(median)}, p99 ${inWords(p99)}, longest ${inWords(max)}, of ${ms.length} logouts`);
}

function inWords(ms: number | undefined): string {
  return ms === Infinity ? 'never' : `${ms} ms`;
}

function firstLine(path: string): string {
  return readText(path).split(/\r?\n/)[0] ?? '';
}

function numberUpTo(max: number): (text: string) => number {
  return (text) => {
    if (!/^\d{1,4}$/.test(text) || Number(text) < 1 || Number(text) > max) {
      throw new InvalidArgumentError(`Give a number from 1 to ${max}.`);
    }
    return Number(text);
  };
}
