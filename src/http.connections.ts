import type { Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** What is still missing of a request when the server begins to stop may come for so long. */
const HALF_SENT_GRACE_MS = 2_000;

/**
 * What Node's server does not do about its connections.
 *
 * A full server lets go of the connection that has waited longest without a request, for the one that comes: thousands of
 * half-sent requests keep nobody out. (Node's `maxConnections` would refuse the newcomer.)
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
  const unanswered = new Map<Socket, Set<ServerResponse>>(); // in the order in which they came
  let isClosing = false;

  server.on('connection', (socket: Socket) => {
    if (isClosing) return void socket.destroy();
    if (unanswered.size >= maxConnections) (longestIdle(unanswered) ?? socket).destroy();
    if (socket.destroyed) return;
    unanswered.set(socket, new Set());
    socket.once('close', () => unanswered.delete(socket));
  });
  server.on('request', (request, response) => {
    const responses = unanswered.get(request.socket);
    responses?.add(response);
    response.once('close', () => responses?.delete(response));
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

function longestIdle(connections: Map<Socket, Set<ServerResponse>>): Socket | undefined {
  for (const [socket, responses] of connections) {
    if (responses.size > 0) continue;
    connections.delete(socket); // its 'close' comes later, and the next newcomer sooner
    return socket;
  }
  return undefined;
}
