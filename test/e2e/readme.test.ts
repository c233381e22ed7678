import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse();
});
afterAll(() => gatehouse.stop());

test('the session of README.md does what README.md says', async () => {
  const { stdout } = await promisify(execFile)('node', ['test/support/readme-session.mjs', gatehouse.origin]);
  expect(stdout).toMatch(/6 commands did what it says/);
});
