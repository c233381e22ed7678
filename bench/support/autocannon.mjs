// Load by autocannon, which npm installs everywhere.
import autocannon from 'autocannon';

/** As `throughput` in load.mjs. Each connection goes through all the requests, from a start of its own. */
export async function autocannonThroughput(origin, requests, { connections, seconds }) {
  let next = 0;
  const result = await autocannon({
    url: origin,
    connections,
    duration: seconds,
    setupClient: (client) => {
      const start = Math.floor((next++ * requests.length) / connections) % requests.length;
      client.setRequests([...requests.slice(start), ...requests.slice(0, start)]);
    },
  });
  if (result.non2xx > 0 || result.errors > 0) throw new Error(`${result.non2xx} refused, ${result.errors} failed`);
  return result['2xx'] / result.duration;
}
