import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { ReservedConnection } from '../../src/database/reserved-connection.js';
import { inTransaction } from '../../src/database/transaction.js';
import {
  RevocationRepository,
  type NewRevocation,
  type RevocableToken,
} from '../../src/tokens/revocation.repository.js';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';
import { isDatabaseServer } from '../support/server-process.js';

let gatehouse: Gatehouse;
let revocations: RevocationRepository;
beforeAll(async () => {
  gatehouse = await startGatehouse();
  revocations = gatehouse.app.get(RevocationRepository);
  await add(...Array.from({ length: 2_000 }, () => ({ kind: 'sid', value: randomUUID() }) as const));
});
afterAll(() => gatehouse.stop());

type Wish = Pick<NewRevocation, 'kind' | 'value'> & { notBefore?: Date };

function add(...wishes: Wish[]): Promise<void> {
  const at = { createdAt: new Date(), expiresAt: new Date(Date.now() + 900_000) };
  return inTransaction(gatehouse.dataSource, (transaction) =>
    revocations.add(
      wishes.map((wish) => ({ ...wish, ...at })),
      transaction,
    ),
  );
}

const tokenOf = (values: Partial<RevocableToken> = {}): RevocableToken => ({
  sid: randomUUID(),
  sub: randomUUID(),
  iat: 1_800_000_000,
  kid: 'A'.repeat(43),
  ...values,
});

/** The statements that some work asks with. */
async function statementsOf(work: () => Promise<unknown>): Promise<[string, string[]][]> {
  const spy = vi.spyOn(ReservedConnection.prototype, 'query');
  await work();
  const calls = spy.mock.calls as [string, string[]][];
  spy.mockRestore();
  return [...new Map(calls.map((call) => [call[0], call])).values()];
}

test('each token gets its own answer: by session, by key, by account and time', async () => {
  const kid = 'B'.repeat(43);
  const [sid, sub, other] = [randomUUID(), randomUUID(), randomUUID()];
  await add({ kind: 'sid', value: sid }, { kind: 'kid', value: kid });
  const tokens = [tokenOf(), tokenOf({ sid }), tokenOf({ kid }), tokenOf({ sub }), tokenOf({ sid: kid, sub: sid })];
  expect(await revocations.findRevoked(tokens)).toEqual([false, true, true, false, false]);

  // Whether accounts are asked about goes by what the last query saw; the answer does not.
  const notBefore = new Date(1_800_000_000_000);
  await add({ kind: 'sub', value: sub, notBefore }, { kind: 'sub', value: other });
  const theirs = [
    ...[-1, 0, 1].map((seconds) => tokenOf({ sub, iat: 1_800_000_000 + seconds })),
    tokenOf({ sub: other, iat: 1_900_000_000 }),
    tokenOf({ sid }),
  ];
  for (let round = 0; round < 2; round++) {
    expect(await revocations.findRevoked(theirs)).toEqual([true, false, false, true, true]);
    expect(await revocations.findRevoked([tokenOf()])).toEqual([false]);
  }
  await gatehouse.sql("DELETE FROM revocations WHERE kind = 'sub'");
  for (let round = 0; round < 2; round++) {
    expect(await revocations.findRevoked(theirs)).toEqual([false, false, false, false, true]);
  }
});

test('one query does, or two for the first time that there is an account', async () => {
  const ask = () => statementsOf(() => revocations.findRevoked(Array.from({ length: 20 }, () => tokenOf())));
  await ask();
  expect(await ask()).toHaveLength(1);
  const value = randomUUID();
  await add({ kind: 'sub', value });
  expect(await ask()).toHaveLength(2);
  expect(await ask()).toHaveLength(1);
  await gatehouse.sql('DELETE FROM revocations WHERE value = ?', [value]);
});

if (isDatabaseServer()) {
  // Proves ours (Checking tokens): the lookup of a request reads the index at its tokens and nothing else
  test('it reads the unique index at these values alone, with accounts and without', async () => {
    await gatehouse.sql('ANALYZE TABLE revocations');
    const tokens = Array.from({ length: 20 }, () => tokenOf());
    await revocations.findRevoked(tokens);
    const statements = await statementsOf(async () => {
      await add({ kind: 'sub', value: randomUUID() });
      await revocations.findRevoked(tokens);
    });
    const lookups = statements.filter(([statement]) => statement.startsWith('SELECT kind, value, not_before'));
    expect(lookups).toHaveLength(2);
    for (const [statement, values] of lookups) {
      const plan = await gatehouse.sql(`EXPLAIN FORMAT=TRADITIONAL ${statement}`, values);
      expect(plan[0]).toMatchObject({ type: 'range', key: 'uq_revocations_kind_value' });
      expect(Number(plan[0].rows)).toBeLessThanOrEqual(42);
    }
  });
}
