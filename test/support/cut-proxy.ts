import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

/** Stands between a client and a server, and can be cut: what is under way breaks off then, and nothing gets through. */
export class CutProxy {
  origin = '';
  private cutPath: string | undefined;
  private readonly open = new Map<ServerResponse, string>();
  private readonly server: Server;

  private constructor(private readonly target: string) {
    this.server = createServer((incoming, response) => this.pass(incoming, response));
  }

  /** Ends with the test. */
  static async start(target: string): Promise<CutProxy> {
    const proxy = new CutProxy(target);
    proxy.server.listen(0, '127.0.0.1');
    await once(proxy.server, 'listening');
    proxy.origin = `http://127.0.0.1:${(proxy.server.address() as AddressInfo).port}`;
    onTestFinished(() => {
      proxy.server.closeAllConnections();
      proxy.server.close();
    });
    return proxy;
  }

  /** @param path what its path begins with does not get through. */
  cut(path: string): void {
    this.cutPath = path;
    for (const [response, url] of this.open) if (url.startsWith(path)) response.destroy();
  }

  mend(): void {
    this.cutPath = undefined;
  }

  private pass(incoming: IncomingMessage, response: ServerResponse): void {
    const { url = '', method, headers } = incoming;
    if (this.cutPath !== undefined && url.startsWith(this.cutPath)) {
      incoming.socket.destroy();
      return;
    }
    this.open.set(response, url);
    const sent = request(this.target + url, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode as number, answer.headers);
      answer.pipe(response);
    });
    sent.on('error', () => response.destroy());
    response.on('close', () => {
      this.open.delete(response);
      sent.destroy();
    });
    incoming.pipe(sent);
  }
}
