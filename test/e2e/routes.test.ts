import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { describeApi } from '../../src/api-docs.js';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';

/** Every route, and whether it is open. A new one must be put here by hand: that is the point. */
const ROUTES: Record<string, 'public' | 'bearer' | 'client'> = {
  'POST /auth/signup': 'public',
  'POST /auth/login': 'public',
  'POST /auth/refresh': 'public',
  'POST /auth/logout': 'public',
  'POST /auth/logout-all': 'bearer',
  'GET /auth/sessions': 'bearer',
  'DELETE /auth/sessions/:id': 'bearer',
  'POST /auth/email/verify': 'public',
  'POST /auth/email/resend': 'public',
  'POST /auth/email/confirm-change': 'public',
  'POST /auth/password/forgot': 'public',
  'POST /auth/password/reset': 'public',
  'GET /users/me': 'bearer',
  'PUT /users/me/password': 'bearer',
  'POST /users/me/email': 'bearer',
  'GET /users/me/activity': 'bearer',
  'GET /users/me/export': 'bearer',
  'POST /users/me/deletion': 'bearer',
  'GET /.well-known/jwks.json': 'public',
  'GET /.well-known/oauth-authorization-server': 'public',
  'GET /auth/verify': 'bearer',
  'POST /oauth/introspect': 'client',
  'POST /oauth/revoke': 'client',
  'GET /oauth/revocations': 'client',
  'POST /oauth/revocations': 'client',
  'GET /health/live': 'public',
  'GET /health/ready': 'public',
};

/** For people, not for programs: open, and not in the OpenAPI document. */
const PAGES = [
  'GET /verify-email',
  'GET /reset-password',
  'GET /assets/account-page.js',
  'GET /assets/account-page.css',
];

/** The same as without it, for an issuer with a path. */
const METADATA_OF_A_PATH = 'GET /.well-known/oauth-authorization-server*';

let gatehouse: Gatehouse;
let registered: string[];
beforeAll(async () => {
  gatehouse = await startGatehouse();
  const printed = gatehouse.app.getHttpAdapter().getInstance().printRoutes({ commonPrefix: false });
  registered = parseRoutes(printed);
});
afterAll(() => gatehouse.stop());

/** Fastify prints its router as a tree; this reads `METHOD /path` from it, HEAD and the docs aside. */
function parseRoutes(printed: string): string[] {
  const path: string[] = [];
  const routes: string[] = [];
  for (const line of printed.split('\n')) {
    const match = /^([│ ]*)(?:├── |└── )([^ ]*)(?: \(([^)]+)\))?/.exec(line);
    if (!match) continue;
    const depth = (match[1] as string).length / 4;
    path.length = depth;
    path[depth] = match[2] as string;
    for (const method of (match[3] ?? '').split(', ').filter(Boolean)) routes.push(`${method} ${path.join('')}`);
  }
  return routes.filter((route) => !route.startsWith('HEAD ') && !/^GET \/docs/.test(route)).sort();
}

// Proves ASVS 6.4.6: no route sets the password of somebody else
// Proves ASVS 10.4.4, RFC 9700 §2.4: there is no token endpoint, and so no password grant
test('the router has these routes and no others', () => {
  expect(registered).toEqual([...Object.keys(ROUTES), ...PAGES, METADATA_OF_A_PATH].sort());
});

// Proves ASVS 8.2.1: every route needs a token unless it is on a list
describe('deny by default', () => {
  test.each(Object.entries(ROUTES))('%s: %s', async (route, access) => {
    const [method, path] = route.split(' ') as [string, string];
    const { status, body } = await gatehouse.request(method, path.replace(':id', 'x'));
    // Without a token every bearer route is a 401 with our code, before anything else is looked at. Logout is public, and
    // says 401 itself.
    const isRefused = status === 401 && body.code === 'invalid_token';
    expect(isRefused).toBe(access === 'bearer' || path === '/auth/logout');
    expect(status === 401 && body.error === 'invalid_client').toBe(access === 'client');
  });
});

test('the OpenAPI document has the same routes, each with a summary and its security', () => {
  const { paths } = describeApi(gatehouse.app, { publicUrl: 'http://localhost' });
  const documented = Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({
      route: `${method.toUpperCase()} ${path.replace('{id}', ':id')}`,
      operation: operation as { summary?: string; security?: object[]; responses: Record<string, unknown> },
    })),
  );
  expect(documented.map(({ route }) => route).sort()).toEqual(Object.keys(ROUTES).sort());
  for (const { route, operation } of documented) {
    expect(operation.summary, route).toBeTruthy();
    if (ROUTES[route] === 'bearer') {
      expect(operation.security, route).toEqual([{ bearer: [] }]);
      expect(operation.responses, route).toHaveProperty('401');
    }
    if (ROUTES[route] === 'client') expect(operation.security, route).toEqual([{ client: [] }]);
  }
});

describe('the docs', () => {
  test('are there in development, with a policy that lets Swagger UI run and nothing else', async () => {
    const page = await gatehouse.get('/docs');
    expect(page.status).toBe(200);
    expect(page.headers.get('content-security-policy')).toContain("script-src 'self'");
    expect((await gatehouse.get('/docs-json')).body.openapi).toMatch(/^3\./);
  });

  test('have their files, and nothing beside them', async () => {
    const style = await gatehouse.get('/docs/swagger-ui.css');
    expect(style.status).toBe(200);
    expect(style.headers.get('content-type')).toContain('text/css');
    const head = await gatehouse.request('HEAD', '/docs/swagger-ui.css');
    expect(head.headers.get('content-length')).toBe(String(Buffer.byteLength(style.text)));
    expect((await gatehouse.get('/docs/nothing')).body.code).toBe('not_found');
    expect((await gatehouse.post('/docs')).headers.get('allow')).toBe('GET, HEAD');
  });

  // Proves ASVS 13.4.5: the docs are there where they are asked for, the metrics on a port of their own
  test('are not there when they are off', async () => {
    const quiet = await gatehouse.another({ DOCS: 'off' });
    for (const path of ['/docs', '/docs/', '/docs-json', '/docs-yaml', '/docs/swagger-ui.css']) {
      expect((await quiet.get(path)).status, path).toBe(404);
    }
    await quiet.stop();
  });
});
