import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, request as httpRequest, type IncomingHttpHeaders, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect } from 'node:net';
import { join } from 'node:path';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';
import { Program, until } from '../support/server-process.js';

/** As docs/integrate.md has them. */
export const ISSUER = 'https://auth.example.com';
export const AUDIENCE = 'https://api.example.com';

/** The Gatehouse of the examples. */
export const startExampleGatehouse = (): Promise<Gatehouse> => startGatehouse({ ISSUER, AUDIENCE });

export const hostOf = ({ origin }: { origin: string }): string => new URL(origin).host;

export function claimsOf(token: string): Record<string, any> {
  return JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString());
}

/** What a protected service got of a request. */
export interface SeenRequest {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
}

/** The service behind a proxy: it answers everything, and remembers what it was asked. */
export class ProtectedService {
  readonly seen: SeenRequest[] = [];
  /** What it answers. */
  status = 200;

  private constructor(private readonly server: Server) {}

  static async start(): Promise<ProtectedService> {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { method = '', url: path = '', headers } = request;
        service.seen.push({ method, path, headers, body: Buffer.concat(chunks).toString() });
        response.writeHead(service.status, { 'Content-Type': 'text/plain' }).end('the service');
      });
    });
    const service = new ProtectedService(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return service;
  }

  get host(): string {
    return `127.0.0.1:${(this.server.address() as { port: number }).port}`;
  }

  /** What came since the last time this was asked. */
  takeSeen(): SeenRequest[] {
    return this.seen.splice(0);
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}

/** What ends TLS in front of a Gatehouse, at `localhost`, with a certificate of its own making in `tls.pem`. */
export class TlsProxy {
  /** Connections that were opened to it. */
  connections = 0;

  private constructor(
    private readonly server: Server,
    readonly host: string,
  ) {}

  static async start(gatehouse: { origin: string }, folder: string): Promise<TlsProxy> {
    const [key, cert] = [join(folder, 'tls.key'), join(folder, 'tls.pem')];
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
    const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    execFileSync('openssl', ['req', '-x509', ...kind, ...names, '-keyout', key, '-out', cert], { stdio: 'pipe' });
    const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) => {
      const { method, url: path, headers } = request;
      const onward = httpRequest(`${gatehouse.origin}${path}`, { method, headers, agent: false });
      onward.on('response', (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
      onward.on('error', () => response.writeHead(502).end());
      request.pipe(onward);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new TlsProxy(server, `localhost:${(server.address() as { port: number }).port}`);
    server.on('connection', () => (proxy.connections += 1));
    return proxy;
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}

export interface PlainAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

/** A request as a client can send it that keeps to no rules: any header, also twice. */
export async function send(
  host: string,
  headers: Record<string, string | string[]> = {},
  { method = 'GET', path = '/', body = '' } = {},
): Promise<PlainAnswer> {
  const request = httpRequest(`http://${host}${path}`, { method, headers, agent: false });
  request.end(body);
  const [response] = await once(request, 'response');
  let text = '';
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode, headers: response.headers, text };
}

export const bearer = (token: string): Record<string, string> => ({ Authorization: `Bearer ${token}` });

const programs = new Set<Program>();

/** Ends every program that was started and still runs, also those of tests that failed. */
export async function stopPrograms(): Promise<void> {
  const running = [...programs].filter(({ isRunning }) => isRunning);
  programs.clear();
  await Promise.all(running.map((program) => program.kill('SIGTERM')));
}

/** Starts a server and waits until it takes connections. `stopPrograms` ends it at the latest. */
export async function startProgram(
  command: string,
  args: string[],
  host: string,
  options: { env?: Record<string, string>; cwd?: string } = {},
): Promise<Program> {
  const env = { PATH: process.env['PATH'], ...options.env };
  const program = new Program(spawn(command, args, { ...options, env, stdio: ['ignore', 'pipe', 'pipe'] }));
  programs.add(program);
  await until(() => {
    if (!program.isRunning) throw new Error(`${command} ended:\n${program.output}`);
    return takesConnections(host);
  });
  return program;
}

function takesConnections(host: string): Promise<boolean> {
  const { hostname, port } = new URL(`http://${host}`);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname, () => resolve(true)).on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}
