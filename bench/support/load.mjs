// What the servers are loaded with.
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { autocannonThroughput } from './autocannon.mjs';
import { settings } from './settings.mjs';
import { wrkThroughput } from './wrk.mjs';

const CONNECTIONS = 50;
const WARM_UP_SECONDS = 2;

/** GET with each token. */
export const withTokens = (path, tokens) =>
  tokens.map((token) => ({ method: 'GET', path, headers: { authorization: `Bearer ${token}` } }));

const GENERATORS = { wrk: wrkThroughput, autocannon: autocannonThroughput };

/**
 * Requests answered per second on 50 connections that never pause and use all the requests in turn, by the generator of
 * `BENCH_LOAD`. @throws when one is refused or fails.
 */
export function throughput(origin, requests, seconds) {
  return GENERATORS[settings.load](origin, requests, { connections: CONNECTIONS, seconds });
}

/** Requests per second of each of two in turn, after a warm-up of both. */
export async function compare(context, [ours, limit], names) {
  for (const { origin, requests } of [ours, limit]) {
    await throughput(origin, requests, Math.min(WARM_UP_SECONDS, context.seconds));
  }
  return context.measure(async () => {
    const a = await throughput(ours.origin, ours.requests, context.seconds);
    const b = await throughput(limit.origin, limit.requests, context.seconds);
    return { ratio: a / b, [names[0]]: a, [names[1]]: b };
  });
}

/**
 * How often per second `work` completes while `concurrency` of it are under way all the time. The count begins with a
 * completion, when as many as are under way have completed before, and ends with the last one within the time, or the first
 * where that comes later: what has been begun by then and does not count is as much as what had been begun before the count
 * and does.
 */
export async function completionsPerSecond(concurrency, seconds, work) {
  let toComeFirst = concurrency;
  let startedAt;
  let count = 0;
  let lastAt;
  let isOver = false;
  const worker = async () => {
    while (!isOver) {
      await work();
      const now = performance.now();
      if (toComeFirst > 0) {
        toComeFirst--;
        startedAt = now;
      } else if (count > 0 && now - startedAt > seconds * 1000) {
        isOver = true;
      } else {
        count++;
        lastAt = now;
      }
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return count / ((lastAt - startedAt) / 1000);
}

/**
 * Requests at a fixed rate, whether the earlier ones are answered or not, and the 99th percentile of the time from sending
 * to the end of the answer, in milliseconds. Neither wrk nor
 * autocannon: with them a late answer delays the next request.
 */
export async function pacedP99(origin, requests, { perSecond, seconds }) {
  const agent = new Agent({ keepAlive: true });
  const count = Math.round(perSecond * seconds);
  const start = performance.now();
  const times = [];
  for (let i = 0; i < count; i++) {
    const waitMs = start + (i * 1000) / perSecond - performance.now();
    if (waitMs > 1) await sleep(waitMs);
    times.push(timed(agent, origin, requests[i % requests.length]));
  }
  const sorted = (await Promise.all(times)).sort((a, b) => a - b);
  agent.destroy();
  return sorted[Math.ceil(count * 0.99) - 1];
}

function timed(agent, origin, { method, path, headers }) {
  return new Promise((resolve, reject) => {
    const sentAt = performance.now();
    request(origin + path, { agent, method, headers }, (response) => {
      response.resume();
      response.once('end', () => {
        if (response.statusCode >= 300) reject(new Error(`${path}: ${response.statusCode}`));
        else resolve(performance.now() - sentAt);
      });
    })
      .once('error', reject)
      .end();
  });
}
