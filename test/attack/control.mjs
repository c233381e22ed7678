// The control of `test/attack/run`: DELIBERATELY VULNERABLE, to prove that the tools find a hole where there is one. It is
// no part of the service, listens on the loopback and has nothing in its database.
import Database from 'better-sqlite3';
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';

const database = new Database(':memory:').exec("CREATE TABLE users (email TEXT); INSERT INTO users VALUES ('a@b')");

const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost');
  if (request.method === 'GET') {
    response.setHeader('Content-Type', 'text/html');
    return response.writeHead(pathname === '/' ? 200 : 404).end(`<p>Hello ${searchParams.get('name') ?? ''}</p>`);
  }
  try {
    const { email } = await json(request);
    const rows = database.prepare(`SELECT email FROM users WHERE email = '${email}'`).all();
    response.writeHead(rows.length > 0 ? 200 : 401).end(JSON.stringify(rows));
  } catch {
    response.writeHead(500).end();
  }
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
