import type { Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** What is still missing of a request when the server begins to stop may come for so long. */
const HALF_SENT_GRACE_MS = 2_000;

/**
 * The server's own event for what ends without an answer to a request, with its `RefusalReason`: no hook of a request tells
 * of these.
 */
export const REFUSED = 'refused';

/**
 * `evicted`: a connection that made room; `server_full`: a newcomer for whom none could; the others: requests that Node's
 * parser gave up.
 */
export type RefusalReason = 'evicted' | 'server_full' | 'headers_too_large' | 'request_timeout' | 'malformed_request';

/**
 * What Node's server does not do about its connections.
 *
 * A full server lets go of the connection that has waited longest for its client, for the one that comes: thousands of
 * half-sent requests, heads or bodies, and of answers that are not read keep nobody out. (Node's `maxConnections` would
 * refuse the newcomer.) Only a connection whose request has come whole and is being answered is kept.
 *
 * Node's close() waits for every connection, also for one that never sends a whole request (a browser's preconnect, half a
 * header, half a body) and for one that is kept alive, and stops the time-outs that would end it: one silent client could
 * hold a stopping process for as long as it is let.
 *
 * @param maxConnections open at the same time.
 * @returns `drain`, for the moment in which the server stops: it ends the connections without a request at once, tells the
 * others with their last answer to close, and ends those whose request has not come whole after a short grace.
 */
export function trackConnections(server: Server, maxConnections: number): { drain: () => void } {
  /** Each with its answers that are not out yet, in the order in which they came or had their last answer. */
  const unanswered = new Map<Socket, Set<ServerResponse>>();
  let isClosing = false;

  server.on('connection', (socket: Socket) => {
    if (isClosing) return void socket.destroy();
    if (unanswered.size >= maxConnections) {
      const evicted = longestWaiting(unanswered);
      (evicted ?? socket).destroy();
      server.emit(REFUSED, (evicted ? 'evicted' : 'server_full') satisfies RefusalReason);
    }
    if (socket.destroyed) return;
    unanswered.set(socket, new Set());
    socket.once('close', () => unanswered.delete(socket));
  });
  // One function for all answers: it is called for every request.
  function end(this: ServerResponse): void {
    const { socket } = this.req;
    const responses = unanswered.get(socket);
    responses?.delete(this);
    // To the end of the line, unless the connection has gone in the meantime.
    if (responses && unanswered.delete(socket)) unanswered.set(socket, responses);
  }
  server.on('request', ({ socket }, response) => {
    unanswered.get(socket)?.add(response);
    response.on('close', end);
  });

  return {
    drain: () => {
      isClosing = true;
      for (const [socket, responses] of unanswered) {
        const last = [...responses].at(-1);
        if (!last) socket.destroy();
        else if (!last.headersSent) last.setHeader('Connection', 'close');
      }
      setTimeout(() => {
        for (const [socket, responses] of unanswered) {
          if ([...responses].some(({ req }) => !req.complete)) socket.destroy();
        }
      }, HALF_SENT_GRACE_MS).unref();
    },
  };
}

function longestWaiting(connections: Map<Socket, Set<ServerResponse>>): Socket | undefined {
  for (const [socket, responses] of connections) {
    if ([...responses].some(isOurTurn)) continue;
    connections.delete(socket); // its 'close' comes later, and the next newcomer sooner
    return socket;
  }
  return undefined;
}

/** Before it the client owes us the rest of its request; after it, that it reads the answer. */
const isOurTurn = ({ req, writableEnded }: ServerResponse) => req.complete && !writableEnded;
