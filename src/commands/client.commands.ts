import type { INestApplicationContext } from '@nestjs/common';
import { InvalidArgumentError, type Command } from 'commander';
import type { ServiceClient } from '../oauth/service-client.entity.js';
import { publicKeysOf } from '../oauth/client-keys.js';
import { ServiceClientService, type NewSecret } from '../oauth/service-client.service.js';
import { operator, type InContext } from './operator.js';
import { CommandFailed, complain, fieldLines, print, printJson } from './output.js';
import { readText } from './read-text.js';

interface Options {
  json?: true;
}

interface CreateOptions extends Options {
  audience: string[];
  jwks?: string;
}

/** Adds what an operator does about the services that may ask about tokens. */
export function addClientCommands(program: Command, inContext: InContext): void {
  const json = ['--json', 'print one JSON object on a line'] as const;

  program
    .command('client:create')
    .description('a service that may introspect, revoke and follow the feed; prints its secret, once')
    .argument('<name>', '1 to 64 characters of a-z, 0-9, ., - and _', parseName)
    .requiredOption('--audience <audience...>', 'the `aud` of the tokens that are its business', parseAudience)
    .option('--jwks <file>', 'its public keys (RFC 7517): it signs its requests, and has no secret')
    .option(...json)
    .action((name: string, options: CreateOptions) => inContext((app) => create(app, name, options)));

  program
    .command('client:list')
    .description('the services, with their audiences')
    .option(...json)
    .action((options: Options) => inContext((app) => list(app, options)));

  program
    .command('client:rotate-secret')
    .description('a further secret, printed once; the last one stays good until the next rotation')
    .argument('<client>', 'its id or its name')
    .option(...json)
    .action((client: string, options: Options) => inContext((app) => rotate(app, client, options)));

  program
    .command('client:disable')
    .description('it is refused from then on, for good')
    .argument('<client>', 'its id or its name')
    .option(...json)
    .action((client: string, options: Options) => inContext((app) => disable(app, client, options)));
}

async function create(app: INestApplicationContext, name: string, options: CreateOptions): Promise<void> {
  const jwks = options.jwks === undefined ? undefined : readKeys(options.jwks);
  const made = await clients(app).create(name, options.audience, jwks, operator());
  if (!made) throw new CommandFailed(`There is a client ${name} already.`);
  tellSecret(made, options);
}

async function list(app: INestApplicationContext, { json }: Options): Promise<void> {
  const all = await clients(app).list(operator());
  for (const client of all) {
    if (json) printJson(view(client));
    else print(line(client));
  }
  if (all.length === 0 && !json) print('There is no client yet.');
}

async function rotate(app: INestApplicationContext, nameOrId: string, options: Options): Promise<void> {
  const client = await find(app, nameOrId);
  if (client.disabledAt) throw new CommandFailed(`${client.name} is disabled.`);
  if (client.jwks !== null) throw new CommandFailed(`${client.name} signs its requests and has no secret.`);
  tellSecret(await clients(app).rotateSecret(client, operator()), options);
}

async function disable(app: INestApplicationContext, nameOrId: string, { json }: Options): Promise<void> {
  const client = await find(app, nameOrId);
  const isChanged = await clients(app).disable(client, operator());
  if (json) printJson({ client_id: client.id, name: client.name, changed: isChanged });
  else print(isChanged ? `${client.name} is disabled.` : `Nothing to do: ${client.name} is disabled already.`);
}

function tellSecret({ client, secret }: NewSecret, { json }: Options): void {
  const { id, name, audiences } = client;
  const fields = { client_id: id, ...(secret !== undefined && { client_secret: secret }), name };
  if (json) return printJson({ ...fields, audiences });
  for (const text of fieldLines({ ...fields, audiences: audiences.join(' ') })) print(text);
  if (secret !== undefined) complain('The secret is not shown again.');
}

function view({ id, name, audiences, jwks, createdAt, disabledAt }: ServiceClient): object {
  const method = jwks === null ? 'client_secret_basic' : 'private_key_jwt';
  return { client_id: id, name, audiences, method, created_at: createdAt, disabled_at: disabledAt };
}

function line({ id, name, audiences, disabledAt }: ServiceClient): string {
  return `${id}  ${name}  ${audiences.join(' ')}${disabledAt ? `  disabled ${disabledAt.toISOString()}` : ''}`;
}

async function find(app: INestApplicationContext, nameOrId: string): Promise<ServiceClient> {
  const client = await clients(app).find(nameOrId);
  if (!client) throw new CommandFailed(`There is no client ${nameOrId}.`);
  return client;
}

function clients(app: INestApplicationContext): ServiceClientService {
  return app.get(ServiceClientService, { strict: false });
}

function parseName(text: string): string {
  if (!/^[a-z0-9][a-z0-9._-]{0,63}$/.test(text)) {
    throw new InvalidArgumentError('1 to 64 characters of a-z, 0-9, ., - and _, the first a letter or a digit.');
  }
  return text;
}

function parseAudience(text: string, before: string[] = []): string[] {
  if (!/^[\x21-\x7e]{1,255}$/.test(text)) {
    throw new InvalidArgumentError('1 to 255 visible ASCII characters, as in the `aud` of the tokens.');
  }
  return before.includes(text) ? before : [...before, text];
}

function readKeys(path: string): string {
  const keys = publicKeysOf(readText(path));
  if (keys === undefined) {
    throw new CommandFailed(`${path} is no JWK set of public keys for ES256, ES384, PS256 or EdDSA.`);
  }
  return keys;
}
