import { randomBytes, sign as signature } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { RewrapService } from '../../src/auth/rewrap.service.js';
import { BackgroundWork } from '../../src/background-work.js';
import { Clock } from '../../src/common/clock.js';
import { MasterKeys } from '../../src/common/master-keys.js';
import { inTransaction } from '../../src/database/transaction.js';
import { OutboxMessage } from '../../src/mail/outbox-message.entity.js';
import { Outbox } from '../../src/mail/outbox.js';
import { OutboxWorker } from '../../src/mail/outbox.worker.js';
import { KeyRotation } from '../../src/tokens/key-rotation.js';
import { KeyVault } from '../../src/tokens/key-vault.js';
import { RevocationFeed } from '../../src/tokens/revocation-feed.js';
import { RevocationRepository } from '../../src/tokens/revocation.repository.js';
import { SigningKey } from '../../src/tokens/signing-key.entity.js';
import { SigningKeyRepository } from '../../src/tokens/signing-key.repository.js';
import { SigningKeys } from '../../src/tokens/signing-keys.js';
import type { CanonicalEmail } from '../../src/users/email-address.js';
import { UserRepository } from '../../src/users/user.repository.js';
import { newAccount, startGatehouse, type Account, type Gatehouse, type Tokens } from '../support/gatehouse.js';
import { isDatabaseServer, run, runCli, Terminal, until } from '../support/server-process.js';

const DAY = 86_400_000;
const MINUTE = 60_000;
/** A key is in the JWKS for so long before it signs. */
const PUBLISHED = 15 * MINUTE;
const OPERATOR = { type: 'operator', id: 'grace' } as const;
// Two connections to one SQLite file in one process wait for each other in vain: at once, they ask one instance there.
const hasTwo = isDatabaseServer();
const testOnce: typeof test = isDatabaseServer() ? ((() => {}) as never) : test;

/** An instance on an empty database, which goes with the test. */
async function start(env: Record<string, string> = {}): Promise<Gatehouse> {
  const gatehouse = await startGatehouse(env);
  onTestFinished(() => gatehouse.stop());
  return gatehouse;
}

async function another(gatehouse: Gatehouse, env: Record<string, string> = {}): Promise<Gatehouse> {
  const other = await gatehouse.another(env);
  onTestFinished(() => other.stop());
  return other;
}

const rotationOf = (gatehouse: Gatehouse) => gatehouse.app.get(KeyRotation, { strict: false });
const rowsOf = (gatehouse: Gatehouse) => gatehouse.dataSource.getRepository(SigningKey);
const partOf = (token: string, part: 0 | 1) =>
  JSON.parse(Buffer.from(token.split('.')[part] ?? '', 'base64url').toString());
const kidOf = ({ access_token }: Pick<Tokens, 'access_token'>): string => partOf(access_token, 0).kid;
const meStatus = async (gatehouse: Gatehouse, { access_token: token }: Tokens) =>
  (await gatehouse.get('/users/me', { token })).status;
const published = async (gatehouse: Gatehouse): Promise<string[]> =>
  (await gatehouse.get('/.well-known/jwks.json')).body.keys.map(({ kid }: { kid: string }) => kid);
const signer = async (gatehouse: Gatehouse) => (await gatehouse.app.get(SigningKeys).signingKey()).kid;
const statesOf = async (gatehouse: Gatehouse) =>
  (await rotationOf(gatehouse).read()).ours.map(({ life }) => life.state);

/** What its log says of rows that are no keys of ours. */
const complaintsOf = ({ logLines }: Gatehouse) =>
  logLines
    .filter((line) => line.includes('"event":"signing_key_refused"'))
    .map((line) => JSON.parse(line))
    .map(({ kid, reason }) => ({ kid, reason }));

/** Stops the clock of an instance at an instant. */
function stopClock(gatehouse: Gatehouse, instant: number): void {
  gatehouse.app.get(Clock).now = () => new Date(instant);
}

/** Has the next key published for fifteen minutes. */
async function ripen(gatehouse: Gatehouse): Promise<void> {
  const next = (await rotationOf(gatehouse).keep()).ours.find(({ life }) => life.state === 'next')!;
  await rowsOf(gatehouse).update({ kid: next.row.kid }, { createdAt: new Date(Date.now() - PUBLISHED) });
}

// Proves ASVS 11.1.1, ASVS 13.3.4: a signing key is published fifteen minutes before it signs, turned by time, and kept for as long as a token lives
describe('by time', () => {
  test('the next key signs when the days are over, and the one before it goes when its tokens have', async () => {
    const gatehouse = await start({ SIGNING_KEY_DAYS: '1', ACCESS_TOKEN_TTL_SECONDS: '900' });
    const account = await gatehouse.signUp();
    const begun = Date.now();
    stopClock(gatehouse, begun);
    const first = kidOf(await gatehouse.logIn(account));
    const [, second, ...none] = await published(gatehouse);
    expect(none).toEqual([]);

    stopClock(gatehouse, begun + DAY - 1);
    const last = await gatehouse.logIn(account);
    expect(kidOf(last)).toBe(first);
    stopClock(gatehouse, begun + DAY);
    expect(kidOf(await gatehouse.logIn(account))).toBe(second);
    const [, , third] = await published(gatehouse);
    expect(await published(gatehouse)).toEqual([first, second, third]);

    const { exp } = partOf(last.access_token, 1);
    stopClock(gatehouse, exp * 1000 - 1);
    expect(await meStatus(gatehouse, last), 'the last second of its last token').toBe(200);
    stopClock(gatehouse, exp * 1000);
    expect(await meStatus(gatehouse, last)).toBe(401);
    stopClock(gatehouse, begun + DAY + 16 * MINUTE - 1);
    expect(await published(gatehouse)).toEqual([first, second, third]);
    stopClock(gatehouse, begun + DAY + 16 * MINUTE);
    expect(await published(gatehouse)).toEqual([second, third]);

    stopClock(gatehouse, begun + 2 * DAY + 16 * MINUTE - 1);
    await rotationOf(gatehouse).purge();
    expect(await rowsOf(gatehouse).countBy({ kid: first })).toBe(1);
    stopClock(gatehouse, begun + 2 * DAY + 16 * MINUTE);
    await rotationOf(gatehouse).purge();
    expect(await rowsOf(gatehouse).countBy({ kid: first })).toBe(0);
    expect(kidOf(await gatehouse.logIn(account))).toBe(third);
  });

  test('a key that is made late is published for fifteen minutes all the same', async () => {
    const gatehouse = await start({ SIGNING_KEY_DAYS: '1' });
    const begun = Date.now();
    stopClock(gatehouse, begun);
    await published(gatehouse);
    const late = begun + 5 * DAY; // nobody was there in between
    stopClock(gatehouse, late);
    const [second, third] = await published(gatehouse);
    expect(await signer(gatehouse), 'it was published for days').toBe(second);
    stopClock(gatehouse, late + PUBLISHED - 1);
    expect(await signer(gatehouse)).toBe(second);
    stopClock(gatehouse, late + PUBLISHED);
    expect(await signer(gatehouse)).toBe(third);
  });

  test('a shorter period holds for the key that waits already', async () => {
    const gatehouse = await start({ SIGNING_KEY_DAYS: '90' });
    const begun = Date.now();
    stopClock(gatehouse, begun);
    const [first, second] = await published(gatehouse);
    const other = await another(gatehouse, { SIGNING_KEY_DAYS: '7' });
    stopClock(other, begun + DAY);
    expect(await signer(other)).toBe(first);
    stopClock(gatehouse, begun + 7 * DAY - 1);
    expect(await signer(gatehouse)).toBe(first);
    stopClock(gatehouse, begun + 7 * DAY);
    expect(await signer(gatehouse)).toBe(second);
  });

  // Proves ours (Issuing tokens): instances that turn the keys at once make one key
  test('many at once, on all instances, make one key and record it once', async () => {
    const gatehouse = await start({ SIGNING_KEY_DAYS: '1' });
    const other = hasTwo ? await another(gatehouse) : gatehouse;
    const begun = Date.now();
    for (let round = 0; round < 5; round++) {
      for (const instance of [gatehouse, other]) stopClock(instance, begun + round * DAY);
      const signers = Array.from({ length: 20 }, (_, i) => signer(i % 2 ? other : gatehouse));
      expect(new Set(await Promise.all(signers)).size).toBe(1);
      const numbers = (await rowsOf(gatehouse).find({ order: { number: 'ASC' } })).map(({ number }) => number);
      expect(numbers).toEqual(Array.from({ length: round + 2 }, (_, i) => i + 1));
    }
    const made = await gatehouse.sql("SELECT details FROM audit_events WHERE type = 'key_rotated'");
    expect(made).toHaveLength(6);
  });

  test('whoever comes next does what a killed process has not', async () => {
    const gatehouse = await start();
    const rows = rowsOf(gatehouse);
    const [, second] = [await signer(gatehouse), (await published(gatehouse))[1]];
    await rows.delete({ number: 2 }); // killed before the next one was made
    expect(await published(gatehouse)).toHaveLength(2);
    expect(await rows.countBy({ kid: second as string })).toBe(0);
    await rows.update({ number: 1 }, { revokedAt: new Date() }); // killed before another one signed
    expect(await signer(gatehouse)).toBe((await rows.findOneByOrFail({ number: 2 })).kid);
    expect(await statesOf(gatehouse)).toEqual(['revoked', 'active', 'next']);
    await rows.clear();
    await gatehouse.signUpAndLogIn();
    expect(await statesOf(gatehouse)).toEqual(['active', 'next']);
  });

  test('a server that nobody asks does it too, once a minute', async () => {
    const gatehouse = await start({ SIGNING_KEY_DAYS: '1' });
    const { loops } = gatehouse.app.get<{ loops: unknown[] }>(BackgroundWork);
    const loop = gatehouse.app.get(SigningKeys).loop as unknown as { round: () => Promise<void> };
    expect(loops).toContain(loop);
    await loop.round();
    expect(await statesOf(gatehouse)).toEqual(['active', 'next']);
    gatehouse.passSeconds(86_401);
    await loop.round();
    expect(await statesOf(gatehouse)).toEqual(['retired', 'active', 'next']);
    gatehouse.passSeconds(86_400);
    await loop.round();
    gatehouse.passSeconds(86_400);
    await loop.round();
    expect(await statesOf(gatehouse), 'and the first row has gone').toEqual(['gone', 'retired', 'active', 'next']);
  });

  test('a database that fails to make the next key fails no login', async () => {
    const gatehouse = await start({ SIGNING_KEY_DAYS: '1' });
    const account = await gatehouse.signUp();
    await signer(gatehouse);
    await rowsOf(gatehouse).delete({ number: 2 });
    const repository = gatehouse.app.get(SigningKeyRepository, { strict: false });
    const failing = vi.spyOn(repository, 'addUnlessTaken').mockRejectedValue(new Error('gone'));
    expect(kidOf(await gatehouse.logIn(account))).toBe(await signer(gatehouse));
    failing.mockRestore();
    expect(gatehouse.logLines.some((line) => line.includes('"reason":"signing_keys"'))).toBe(true);
    await gatehouse.logIn(account);
    expect(await published(gatehouse)).toHaveLength(2);
  });
});

describe('keys:rotate', () => {
  test('waits until the next key has been published for fifteen minutes, and then is done at once', async () => {
    const gatehouse = await start();
    const begun = Date.now();
    stopClock(gatehouse, begun);
    const [first, second] = await published(gatehouse);
    stopClock(gatehouse, begun + MINUTE);
    const soon = { kid: second, activatesAt: new Date(begun + PUBLISHED) };
    expect(await rotationOf(gatehouse).rotate(OPERATOR)).toEqual({ ...soon, isChanged: true });
    expect(await rotationOf(gatehouse).rotate(OPERATOR)).toEqual({ ...soon, isChanged: false });
    expect(await signer(gatehouse)).toBe(first);
    stopClock(gatehouse, begun + PUBLISHED);
    expect(await signer(gatehouse)).toBe(second);

    stopClock(gatehouse, begun + 2 * PUBLISHED);
    const [, , third] = await published(gatehouse);
    const now = { kid: third, activatesAt: new Date(begun + 2 * PUBLISHED), isChanged: true };
    expect(await rotationOf(gatehouse).rotate(OPERATOR)).toEqual(now);
    expect(await signer(gatehouse)).toBe(third);
    expect(await published(gatehouse)).toHaveLength(4);
  });

  test('a rotation by somebody who is behind moves nothing', async () => {
    const gatehouse = await start();
    await published(gatehouse);
    const seen = await rowsOf(gatehouse).findOneByOrFail({ number: 2 });
    const repository = gatehouse.app.get(SigningKeyRepository, { strict: false });
    const move = () =>
      inTransaction(gatehouse.dataSource, (transaction) => repository.moveActivation(seen, new Date(), transaction));
    for (let round = 0; round < 5; round++) {
      await rowsOf(gatehouse).update({ number: 2 }, { activatesAt: seen.activatesAt });
      const moved = await Promise.all(Array.from({ length: 8 }, move));
      expect(moved.filter(Boolean)).toEqual([true]);
    }
  });

  test('twice at once is recorded for each key that was moved, and for no other', async () => {
    const gatehouse = await start();
    const other = hasTwo ? await another(gatehouse) : gatehouse;
    let rotations = 0;
    for (let round = 0; round < 5; round++) {
      await published(gatehouse);
      await ripen(gatehouse);
      const both = await Promise.all([gatehouse, other].map((one) => rotationOf(one).rotate(OPERATOR)));
      // The slower one may have come when the faster one was done: then it is a second rotation, of the key after that.
      const moved = both.filter(({ isChanged }) => isChanged);
      expect(new Set(moved.map(({ kid }) => kid)).size).toBe(moved.length);
      expect(moved.length).toBeGreaterThanOrEqual(1);
      rotations += moved.length;
      const turned = await gatehouse.sql(
        "SELECT id FROM audit_events WHERE type = 'key_rotated' AND reason = 'rotated'",
      );
      expect(turned).toHaveLength(rotations);
      expect(await rowsOf(gatehouse).count()).toBe(round + 3);
    }
  });

  // Proves ours (Issuing tokens): a rotation under load, on two instances, refuses nobody
  test('under load refuses no token and no login', async () => {
    const one = await start();
    const other = hasTwo ? await another(one) : one;
    const accounts = await Promise.all(Array.from({ length: 8 }, () => one.signUp()));
    const refused: string[] = [];
    const kids = new Set<string>();
    let asked = 0;
    let isOver = false;
    const expectOk = ({ status, text }: { status: number; text: string }, what: string) => {
      asked += 1;
      if (status !== 200) refused.push(`${what}: ${status} ${text}`);
    };
    const works = accounts.map(async ({ email, password }, i) => {
      for (let turn = i; !isOver; turn++) {
        const [here, there] = turn % 2 ? [one, other] : [other, one];
        const login = await here.post<Tokens>('/auth/login', { email, password });
        expectOk(login, 'login');
        let tokens = login.body;
        for (let round = 0; round < 3; round++) {
          kids.add(kidOf(tokens));
          expectOk(await there.get('/users/me', { token: tokens.access_token }), 'there');
          expectOk(await here.get('/users/me', { token: tokens.access_token }), 'here');
          const refreshed = await there.post<Tokens>('/auth/refresh', { refresh_token: tokens.refresh_token });
          expectOk(refreshed, 'refresh');
          tokens = refreshed.body;
        }
        kids.add(kidOf(tokens));
        expectOk(await here.get('/users/me', { token: tokens.access_token }), 'after the refresh');
      }
    });
    try {
      for (let rotation = 0; rotation < 3; rotation++) {
        await until(() => asked > 100 * (rotation + 1));
        await ripen(one);
        expect((await rotationOf(rotation % 2 ? other : one).rotate(OPERATOR)).isChanged).toBe(true);
      }
      await until(() => asked > 400);
    } finally {
      isOver = true;
      await Promise.all(works);
    }
    expect(refused).toEqual([]);
    expect(kids.size).toBe(4);
  });
});

// Proves ours (Checking tokens): what a revoked key has signed is refused on the next request, by every instance
describe('keys:revoke', () => {
  test('is in force at once, everywhere, and nobody is kept from logging in', async () => {
    const one = await start();
    const other = await another(one);
    const account = await one.signUp();
    const tokens = await one.logIn(account);
    for (const instance of [one, other]) {
      expect(await meStatus(instance, tokens)).toBe(200);
      expect(await published(instance)).toHaveLength(2);
    }
    const kid = kidOf(tokens);
    const successor = (await published(one))[1];
    expect(await rotationOf(one).revoke(kid, OPERATOR)).toEqual({ result: 'revoked', successor });

    for (const instance of [other, one]) {
      expect(await meStatus(instance, tokens), 'the very next request').toBe(401);
      const next = await instance.logIn(account);
      expect(kidOf(next)).toBe(successor);
      for (const reader of [one, other]) expect(await meStatus(reader, next)).toBe(200);
      expect(await published(instance)).not.toContain(kid);
      expect(await published(instance)).toHaveLength(2);
      const out = await instance.post('/auth/logout', undefined, { token: tokens.access_token });
      expect(out.status, 'whoever has the key could end every session').toBe(401);
    }
    const { body } = await other.post<Tokens>('/auth/refresh', { refresh_token: tokens.refresh_token });
    expect([kidOf(body), await meStatus(one, body)], 'sessions go on').toEqual([successor, 200]);

    const feed = other.app.get(RevocationFeed, { strict: false });
    await feed.cursor();
    const entries = (await feed.read()).entries.filter(({ kind }) => kind === 'kid');
    expect(entries).toMatchObject([{ kind: 'kid', value: kid }]);
    const left = (entries[0]!.expiresAt.getTime() - Date.now()) / 1000;
    expect(left, 'longer than a token lives, or anybody keeps a JWKS').toBeGreaterThan(3_500);
  });

  test('of the next key leaves the active one, and makes another next one', async () => {
    const gatehouse = await start();
    const tokens = await gatehouse.signUpAndLogIn();
    const [active, next] = await published(gatehouse);
    expect(await rotationOf(gatehouse).revoke(next as string, OPERATOR)).toEqual({
      result: 'revoked',
      successor: active,
    });
    expect(await meStatus(gatehouse, tokens)).toBe(200);
    expect(await statesOf(gatehouse)).toEqual(['active', 'revoked', 'next']);
    const [{ row: first }, , { row: third }] = (await rotationOf(gatehouse).read()).ours as [any, any, any];
    expect(third.activatesAt.getTime() - first.activatesAt.getTime()).toBe(30 * DAY);
  });

  test('of one key after the other always leaves one that signs, and the last tokens are good', async () => {
    const one = await start();
    const other = await another(one);
    const account = await one.signUp();
    for (let round = 0; round < 4; round++) {
      const tokens = await one.logIn(account);
      expect((await rotationOf(one).revoke(kidOf(tokens), OPERATOR)).result).toBe('revoked');
      expect(await meStatus(other, tokens)).toBe(401);
      const next = await one.logIn(account);
      expect(await meStatus(other, next), 'a key that it has never seen').toBe(200);
    }
  });

  test('of one key by several at once is one revocation', async () => {
    const gatehouse = await start();
    const kid = await signer(gatehouse);
    const results = await Promise.all(Array.from({ length: 8 }, () => rotationOf(gatehouse).revoke(kid, OPERATOR)));
    expect(results.filter(({ result }) => result === 'revoked')).toHaveLength(1);
    expect(results.filter(({ result }) => result === 'revoked_already')).toHaveLength(7);
    expect(await statesOf(gatehouse)).toEqual(['revoked', 'active', 'next']);
    expect(await gatehouse.sql("SELECT value FROM revocations WHERE kind = 'kid'")).toEqual([{ value: kid }]);
  });

  test('of what is not there changes nothing; of what is gone, it is told to those who may have it still', async () => {
    const gatehouse = await start({ SIGNING_KEY_DAYS: '1' });
    const begun = Date.now();
    stopClock(gatehouse, begun);
    const kid = await signer(gatehouse);
    const rotation = rotationOf(gatehouse);
    expect(await rotation.revoke('A'.repeat(43), OPERATOR)).toEqual({ result: 'unknown' });
    expect(await gatehouse.sql('SELECT value FROM revocations')).toEqual([]);
    stopClock(gatehouse, begun + DAY + 16 * MINUTE);
    const successor = await signer(gatehouse);
    expect(await statesOf(gatehouse)).toEqual(['gone', 'active', 'next']);
    expect(await rotation.revoke(kid, OPERATOR)).toEqual({ result: 'revoked', successor });
    expect(await statesOf(gatehouse)).toEqual(['revoked', 'active', 'next']);
    expect(await gatehouse.sql('SELECT kind, value FROM revocations')).toEqual([{ kind: 'kid', value: kid }]);
  });

  test('of the one that signs stands, also where no other can be made to sign just then', async () => {
    const gatehouse = await start();
    const account = await gatehouse.signUp();
    const kid = kidOf(await gatehouse.logIn(account));
    await rowsOf(gatehouse).delete({ number: 2 });
    const repository = gatehouse.app.get(SigningKeyRepository, { strict: false });
    const failing = vi.spyOn(repository, 'addUnlessTaken').mockRejectedValue(new Error('gone'));
    expect(await rotationOf(gatehouse).revoke(kid, OPERATOR)).toEqual({ result: 'revoked', successor: undefined });
    failing.mockRestore();
    expect(await statesOf(gatehouse)).toEqual(['revoked']);
    expect(kidOf(await gatehouse.logIn(account))).not.toBe(kid);
  });

  test('is kept for a month', async () => {
    const gatehouse = await start();
    const begun = Date.now();
    stopClock(gatehouse, begun);
    const kid = await signer(gatehouse);
    await rotationOf(gatehouse).revoke(kid, OPERATOR);
    for (const [after, count] of [
      [30 * DAY - 1, 1],
      [30 * DAY, 0],
    ] as const) {
      stopClock(gatehouse, begun + after);
      await rotationOf(gatehouse).purge();
      expect(await rowsOf(gatehouse).countBy({ kid })).toBe(count);
    }
  });

  test('is in force for an instance whose clock is behind', async () => {
    const gatehouse = await start();
    const kid = await signer(gatehouse);
    const behind = await another(gatehouse);
    expect(await published(behind)).toContain(kid);
    await rotationOf(gatehouse).revoke(kid, OPERATOR);
    stopClock(behind, Date.now() - 5_000);
    expect(await published(behind)).not.toContain(kid);
    expect(await behind.app.get(SigningKeys).publicKey(kid)).toBeUndefined();
    expect(behind.app.get(SigningKeys).isKnown(kid)).toBe(false);
  });

  // Proves ours (Issuing tokens): whoever can write into the database makes no key that is accepted
  test('a row that nobody of us has sealed neither signs, nor takes the place of one that does', async () => {
    const gatehouse = await start();
    const tokens = await gatehouse.signUpAndLogIn();
    const row = await rowsOf(gatehouse).findOneByOrFail({ number: 1 });
    await rowsOf(gatehouse).insert({ ...row, kid: 'A'.repeat(43), number: 99, activatesAt: new Date() });
    expect(await signer(gatehouse)).toBe(kidOf(tokens));
    expect(await published(gatehouse)).toHaveLength(2);
    expect(await meStatus(await another(gatehouse), tokens)).toBe(200);
    expect(complaintsOf(gatehouse)).toEqual([{ kid: 'A'.repeat(43), reason: 'not_openable' }]);
  });

  test('a row that claims another master key stops the rotation, is told of once, and can be revoked', async () => {
    const gatehouse = await start({ SIGNING_KEY_DAYS: '1' });
    await signer(gatehouse);
    const row = await rowsOf(gatehouse).findOneByOrFail({ number: 1 });
    const planted = { ...row, kid: 'A'.repeat(43), privateKey: '00000000.AAAA' };
    await rowsOf(gatehouse).insert({ ...planted, number: 99 });
    for (let times = 0; times < 3; times++) await signer(gatehouse);
    expect(complaintsOf(gatehouse)).toEqual([{ kid: planted.kid, reason: 'rotation_stopped' }]);
    await rotationOf(gatehouse).revoke(planted.kid, OPERATOR);
    gatehouse.passSeconds(86_401);
    await signer(gatehouse);
    expect(await statesOf(gatehouse), 'and it goes on').toEqual(['retired', 'active', 'next']);
  });
});

describe('the lookup of each request', () => {
  const revoke = (gatehouse: Gatehouse, value: string, notBefore: Date) => {
    const at = { notBefore, expiresAt: new Date(Date.now() + 900_000), createdAt: new Date() };
    return inTransaction(gatehouse.dataSource, (transaction) =>
      gatehouse.app.get(RevocationRepository).add([{ kind: 'sub', value, ...at }], transaction),
    );
  };

  // Proves ours (Checking tokens): an account’s tokens of before an instant are refused, and no others
  test('knows an account whose tokens of before an instant are dead: the last one of them, and the first of the others', async () => {
    const gatehouse = await start();
    const [ada, grace] = [await gatehouse.signUp(), await gatehouse.signUp()];
    const [hers, theirs] = [await gatehouse.logIn(ada), await gatehouse.logIn(grace)];
    const { iat } = partOf(hers.access_token, 1);
    await revoke(gatehouse, ada.id, new Date(iat * 1000));
    await revoke(gatehouse, grace.id, new Date(partOf(theirs.access_token, 1).iat * 1000 + 1));
    expect(await meStatus(gatehouse, hers)).toBe(200);
    expect(await meStatus(gatehouse, theirs)).toBe(401);
    gatehouse.passSeconds(1);
    expect(await meStatus(gatehouse, await gatehouse.logIn(grace))).toBe(200);
  });

  // Proves ASVS 7.4.2: an account that is disabled or deleted loses every session at once
  test('refuses a token of a deleted account also where its session is in no table, as after a restored backup', async () => {
    const gatehouse = await start();
    const account = await gatehouse.signUp();
    const [tokens, lost] = [await gatehouse.logIn(account), await gatehouse.logIn(account)];
    await gatehouse.sql('DELETE FROM sessions WHERE id = ?', [partOf(lost.access_token, 1).sid]);
    expect(await meStatus(gatehouse, lost)).toBe(200);
    const body = { current_password: account.password };
    const { status } = await gatehouse.post('/users/me/deletion', body, { token: tokens.access_token });
    expect(status).toBeLessThan(300);
    for (const one of [tokens, lost]) expect(await meStatus(gatehouse, one)).toBe(401);
  });

  test('refuses what a stolen key signs, whatever it says', async () => {
    const gatehouse = await start();
    const tokens = await gatehouse.signUpAndLogIn();
    const other = await another(gatehouse);
    expect(await meStatus(other, tokens)).toBe(200);
    const { pair } = (await rotationOf(gatehouse).read()).ours[0]!;
    const claims = { ...partOf(tokens.access_token, 1), sid: uuidv7(), sub: uuidv7(), jti: uuidv7() };
    const input = [partOf(tokens.access_token, 0), claims]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.');
    const key = { key: pair.privateKey, dsaEncoding: 'ieee-p1363' } as const;
    const forged = `${input}.${signature('sha256', Buffer.from(input), key).toString('base64url')}`;
    const verify = async () => (await other.get('/auth/verify', { token: forged })).status;
    expect(await verify()).toBe(204);
    await rotationOf(gatehouse).revoke(pair.kid, OPERATOR);
    expect(await verify()).toBe(401);
  });
});

// Proves ASVS 13.1.4, ASVS 13.3.4, PCI 8.6.3: the master key can be changed, and the old one be taken out, without anybody noticing
describe('a change of the master key', () => {
  const newKey = () => randomBytes(32).toString('base64');
  /** Whose mail waits. */
  const LATER = 'later@example.com';
  const rewrapOf = (gatehouse: Gatehouse) => gatehouse.app.get(RewrapService, { strict: false });
  const leftUnder = async (gatehouse: Gatehouse, newest: string) => {
    const id = new MasterKeys([Buffer.from(newest, 'base64')]).newestDerived('audit-seal').id;
    const values = [
      ...(await gatehouse.sql("SELECT password_hash AS value FROM users WHERE password_hash <> '!'")),
      ...(await gatehouse.sql('SELECT password_hash AS value FROM former_passwords')),
      ...(await gatehouse.sql('SELECT private_key AS value FROM signing_keys')),
      ...(await gatehouse.sql('SELECT content AS value FROM outbox WHERE content IS NOT NULL')),
    ].map(({ value }) => value.replace(/^.*:/, ''));
    return values.filter((value) => !value.startsWith(`${id}.`)).length;
  };

  /** What the audit trail says of the rewraps. */
  const rewrapEvents = async (gatehouse: Gatehouse): Promise<string[]> => {
    const rows = await gatehouse.sql("SELECT reason FROM audit_events WHERE reason LIKE 'rewrap%' ORDER BY id");
    return rows.map(({ reason }) => reason);
  };

  /** So many accounts whose hashes are sealed under the first key of an instance. */
  async function addAccounts(gatehouse: Gatehouse, count: number): Promise<void> {
    const masterKeys = gatehouse.app.get(MasterKeys);
    const users = gatehouse.app.get(UserRepository, { strict: false });
    const all = Array.from({ length: count }, (_, i) => {
      const id = uuidv7();
      const email = `user${i}.${id}@example.com`;
      const passwordHash = `bcrypt:${masterKeys.seal('password-pepper', `$2b$04$${'a'.repeat(53)}`, id)}`;
      return { id, email, emailCanonical: email as CanonicalEmail, passwordHash, createdAt: new Date() };
    });
    while (all.length > 0) {
      const some = all.splice(0, 500);
      await inTransaction(gatehouse.dataSource, (transaction) => users.addThoseFree(some, transaction));
    }
  }

  test('leaves everything valid, and after the rewrap nothing needs the old one but tokens and counters', async () => {
    const before = await start();
    const [old, fresh] = [before.env['MASTER_KEY'] as string, newKey()];
    const account = await before.signUp();
    const tokens = await before.logIn(account);
    const { password } = newAccount();
    const change = { current_password: account.password, new_password: password };
    expect((await before.put('/users/me/password', change, { token: tokens.access_token })).status).toBeLessThan(300);
    const changed: Account = { email: account.email, password };
    await addAccounts(before, 450);
    const deleted = await before.signUp();
    const { access_token } = await before.logIn(deleted);
    await before.post('/users/me/deletion', { current_password: deleted.password }, { token: access_token });

    const both = await another(before, { MASTER_KEY: `${fresh},${old}` });
    expect(await meStatus(both, tokens)).toBe(200);
    const refreshed = await both.post<Tokens>('/auth/refresh', { refresh_token: tokens.refresh_token });
    expect(refreshed.status).toBe(200);
    const waiting = newAccount();
    await before.post('/auth/signup', waiting);
    await inTransaction(before.dataSource, async (transaction) => {
      const outbox = before.app.get(Outbox, { strict: false });
      await outbox.add({ userId: null, email: LATER }, { kind: 'account_deleted' }, transaction);
      const nextAttemptAt = new Date(Date.now() + MINUTE);
      await transaction.update(OutboxMessage, { recipient: LATER }, { nextAttemptAt });
    });

    const seen: number[] = [];
    const counts = await rewrapOf(both).rewrap(OPERATOR, (count) => seen.push(count));
    expect(counts.unopenable).toEqual({ signing_keys: 0, passwords: 0, former_passwords: 0, mails: 0 });
    expect(counts.rewrapped).toMatchObject({ signing_keys: 2, passwords: 452, former_passwords: 1 });
    expect(counts.rewrapped.mails).toBeGreaterThan(0);
    expect(seen.at(-1)).toBeGreaterThanOrEqual(456);
    expect(await leftUnder(both, fresh)).toBe(0);
    const again = await rewrapOf(both).rewrap(OPERATOR);
    expect(Object.values(again.rewrapped)).toEqual([0, 0, 0, 0]);
    expect(await rewrapEvents(both), 'none of the second, which had nothing to do').toEqual([
      'rewrap_begun',
      'rewrapped',
    ]);

    const after = await another(before, { MASTER_KEY: fresh });
    for (const one of [refreshed.body, await after.logIn(changed)]) expect(await meStatus(after, one)).toBe(200);
    const { body } = await after.post<Tokens>('/auth/refresh', { refresh_token: refreshed.body.refresh_token });
    expect(await meStatus(after, body), 'was refreshed under the new key').toBe(200);
    await after.logIn(waiting);
    const back = { current_password: password, new_password: account.password };
    expect((await after.put('/users/me/password', back, { token: body.access_token })).status).toBe(422);
    for (const one of [before, both]) await one.app.get(OutboxWorker).stop(); // it is for the one that has the new key alone
    await after.dataSource.manager.update(OutboxMessage, { recipient: LATER }, { nextAttemptAt: new Date() });
    expect(await after.mails(LATER)).toHaveLength(1);
  });

  test('that is not rewrapped keeps a server with the new one alone from starting', async () => {
    const gatehouse = await start();
    await gatehouse.signUpAndLogIn();
    const fresh = newKey();
    const both = await another(gatehouse, { MASTER_KEY: `${fresh},${gatehouse.env['MASTER_KEY']}` });
    await ripen(both);
    await rotationOf(both).rotate(OPERATOR); // and so the newest key is under the new one
    await expect(gatehouse.another({ MASTER_KEY: fresh })).rejects.toThrow(/MASTER_KEY opens no signing key/);
  });

  test('that is lost is made good by revoking its keys, and nothing of them stays', { timeout: 180_000 }, async () => {
    const gatehouse = await start();
    const kids = [await signer(gatehouse), (await published(gatehouse))[1] as string];
    const env = { ...gatehouse.env, MASTER_KEY: newKey() };
    const cli = async (...args: string[]) => {
      const { code, program } = await runCli(env, ...args);
      return { code, output: program.stdout, stderr: program.stderr.join('\n') };
    };
    expect(await cli('keys:rewrap')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/MASTER_KEY opens no signing key/),
    });
    const listed = await cli('keys:list', '--json');
    expect(listed.output.map((line) => JSON.parse(line))).toMatchObject(
      kids.map((kid) => ({ kid, state: 'not_openable' })),
    );
    for (const kid of kids) expect((await cli('keys:revoke', kid, '--yes')).code).toBe(0);
    expect(await cli('keys:rewrap')).toMatchObject({ code: 0, output: [expect.stringMatching(/^Nothing to do/)] });

    const after = await another(gatehouse, { MASTER_KEY: env.MASTER_KEY });
    const tokens = await after.signUpAndLogIn();
    expect(await meStatus(after, tokens)).toBe(200);
    after.passSeconds(30 * 86_400);
    await rotationOf(after).purge();
    for (const kid of kids) expect(await rowsOf(after).countBy({ kid })).toBe(0);
  });

  test('an instance that does not have the new one yet makes no key against the others', async () => {
    const gatehouse = await start({ SIGNING_KEY_DAYS: '1' });
    const tokens = await gatehouse.signUpAndLogIn();
    const both = await another(gatehouse, { MASTER_KEY: `${newKey()},${gatehouse.env['MASTER_KEY']}` });
    await ripen(both);
    await rotationOf(both).rotate(OPERATOR);
    const count = await rowsOf(both).count();
    expect(await signer(gatehouse), 'the newest one that it can open').not.toBe(kidOf(tokens));
    gatehouse.passSeconds(2 * 86_400);
    await signer(gatehouse);
    expect(await rowsOf(both).count()).toBe(count);
  });

  test('interrupted goes on where it was, and a password that is changed meanwhile is the one that counts', async () => {
    const before = await start();
    await addAccounts(before, 450);
    const account = await before.signUp();
    await before.logIn(account);
    const both = await another(before, { MASTER_KEY: `${newKey()},${before.env['MASTER_KEY']}` });
    let seen = 0;
    const first = await rewrapOf(both).rewrap(
      OPERATOR,
      (count) => (seen = count),
      () => seen > 2,
    );
    expect(first.rewrapped).toMatchObject({ signing_keys: 2, passwords: 200, former_passwords: 0 });

    const users = both.app.get(UserRepository, { strict: false });
    const upgrade = users.upgradePasswordHash.bind(users);
    const spy = vi.spyOn(users, 'upgradePasswordHash').mockImplementation(async (id, hash, sealed, transaction) => {
      if (id !== account.id) return upgrade(id, hash, sealed, transaction);
      // As if somebody else's transaction had come in between.
      await transaction!.update('User', { id }, { passwordHash: 'bcrypt:changed' });
      return upgrade(id, hash, sealed, transaction);
    });
    const second = await rewrapOf(both).rewrap(OPERATOR);
    spy.mockRestore();
    expect(second.rewrapped).toMatchObject({ signing_keys: 0, passwords: 250 });
    const [{ password_hash }] = await both.sql('SELECT password_hash FROM users WHERE id = ?', [account.id]);
    expect(password_hash).toBe('bcrypt:changed');
  });

  test('keys:rewrap, killed in the middle and repeated', { timeout: 180_000 }, async () => {
    const gatehouse = await start();
    const fresh = newKey();
    await addAccounts(gatehouse, 800);
    const account = await gatehouse.signUp();
    await gatehouse.logIn(account);
    const env = { ...gatehouse.env, MASTER_KEY: `${fresh},${gatehouse.env['MASTER_KEY']}` };
    // So slow that it cannot be done before it is killed.
    const slowly = isDatabaseServer()
      ? 'DO SLEEP(0.005)'
      : 'BEGIN SELECT COUNT(*) FROM users JOIN users AS others; END';
    await gatehouse.sql(`CREATE TRIGGER slow BEFORE UPDATE ON users FOR EACH ROW ${slowly}`);
    // On SQLite a write of this process would stand still, and the test with it, until the other one has written everything.
    await gatehouse.app.get(BackgroundWork).beforeApplicationShutdown();
    const program = run('cli', env, { args: ['keys:rewrap'] });
    await until(async () => (await leftUnder(gatehouse, fresh)) < 700);
    await program.kill('SIGKILL');
    await gatehouse.sql('DROP TRIGGER slow');
    const left = await leftUnder(gatehouse, fresh);
    expect(left).toBeGreaterThan(0);
    expect(await rewrapEvents(gatehouse), 'a killed run has left one').toEqual(['rewrap_begun']);

    const { code, program: repeated } = await runCli(env, 'keys:rewrap', '--json');
    expect([code, repeated.stderr]).toEqual([0, []]);
    const { rewrapped } = JSON.parse(repeated.stdout[0] as string);
    expect(Object.values<number>(rewrapped).reduce((sum, one) => sum + one)).toBe(left);
    expect(await leftUnder(gatehouse, fresh)).toBe(0);
    await (await another(gatehouse, { MASTER_KEY: fresh })).logIn(account);
  });

  testOnce('keys:rewrap shows on a terminal how far it is, and names what is lost', { timeout: 180_000 }, async () => {
    const gatehouse = await start();
    await addAccounts(gatehouse, 1_500);
    const { id } = await gatehouse.signUp();
    await gatehouse.sql("UPDATE users SET password_hash = 'bcrypt:00000000.AAAA' WHERE id = ?", [id]);
    const env = { ...gatehouse.env, MASTER_KEY: `${newKey()},${gatehouse.env['MASTER_KEY']}` };
    const terminal = new Terminal(env, 'keys:rewrap');
    expect((await terminal.ended).code, terminal.text).toBe(1);
    expect(terminal.text).toMatch(/\r\x1b\[K\d+ values, \d+ %/);
    expect(terminal.text).toMatch(/1 values open under none of the master keys: passwords 1\.\r\n/);
    expect(terminal.text).toMatch(/1500 values are sealed again: passwords 1500\.\r\n/);
  });
});

describe('the commands', () => {
  test('keys:list, keys:rotate, keys:revoke', { timeout: 180_000 }, async () => {
    const gatehouse = await start();
    const cli = async (...args: string[]) => {
      const { code, program } = await runCli(gatehouse.env, ...args);
      return { code, stdout: program.stdout, stderr: program.stderr };
    };
    const tokens = await gatehouse.signUpAndLogIn();
    const [first, second] = (await published(gatehouse)) as [string, string];
    const list = await cli('keys:list', '--json');
    expect([list.code, list.stderr]).toEqual([0, []]);
    const shown = list.stdout.map((line) => JSON.parse(line));
    expect(shown).toMatchObject([
      { kid: first, number: 1, state: 'active', retires_at: shown[1].activates_at },
      { kid: second, number: 2, state: 'next', retires_at: null, gone_at: null },
    ]);
    expect(Date.parse(shown[1].activates_at) - Date.parse(shown[0].activates_at)).toBe(30 * DAY);
    expect(JSON.stringify(shown)).not.toContain('private');

    const at = new Date(Date.parse(shown[1].created_at) + PUBLISHED).toISOString();
    expect(await cli('keys:rotate')).toEqual({ code: 0, stdout: [`${second} signs from ${at} on.`], stderr: [] });
    expect((await cli('keys:list')).stdout).toEqual([
      expect.stringMatching(`^${first}  1  active  signs \\S+Z  retires ${at}  gone \\S+Z$`),
      expect.stringMatching(`^${second}  2  next  signs ${at}  retires -  gone -$`),
    ]);

    const refused = await cli('keys:revoke', first);
    expect([refused.code, refused.stdout, refused.stderr]).toEqual([1, [], [expect.stringContaining('--yes')]]);
    expect(await meStatus(gatehouse, tokens)).toBe(200);
    expect(await cli('keys:revoke', first, '--yes')).toEqual({
      code: 0,
      stdout: [`${first} is revoked: what it has signed is refused. ${second} signs now.`],
      stderr: [],
    });
    expect(await meStatus(gatehouse, tokens), 'the very next request').toBe(401);
    expect(await published(gatehouse)).not.toContain(first);
    expect(kidOf(await gatehouse.signUpAndLogIn())).toBe(second);
    const twice = await cli('keys:revoke', first, '--yes');
    expect(twice).toEqual({ code: 0, stdout: [`Nothing to do: ${first} is revoked already.`], stderr: [] });
    const nobody = await cli('keys:revoke', 'A'.repeat(43), '--yes');
    expect(nobody).toEqual({ code: 1, stdout: [], stderr: [`There is no key ${'A'.repeat(43)}.`] });
    const rows = await gatehouse.sql("SELECT type, reason FROM audit_events WHERE actor_type = 'operator' ORDER BY id");
    expect(rows.map(({ type, reason }) => `${type} ${reason}`)).toEqual([
      'sensitive_read key_list',
      'key_rotated rotated',
      'sensitive_read key_list',
      'key_rotated revoked',
    ]);
  });

  testOnce('on a terminal keys:revoke asks for the kid, and takes nothing else', { timeout: 180_000 }, async () => {
    const gatehouse = await start();
    const kid = await signer(gatehouse);
    const wrong = new Terminal(gatehouse.env, 'keys:revoke', kid);
    await wrong.shows(/Type the kid to revoke/);
    wrong.type('yes\r');
    expect((await wrong.ended).code, wrong.text).toBe(1);
    expect(wrong.text).toContain('Nothing was revoked: that is not the kid.');
    const right = new Terminal(gatehouse.env, 'keys:revoke', kid);
    await right.shows(/Type the kid to revoke/);
    right.type(`${kid}\r`);
    expect((await right.ended).code, right.text).toBe(0);
    expect(await statesOf(gatehouse)).toEqual(['revoked', 'active', 'next']);
  });
});

test('a vault opens what it has made, and nothing under another name or another key', () => {
  const [one, other] = [1, 2].map((byte) => new KeyVault(new MasterKeys([Buffer.alloc(32, byte)])));
  const row = one!.generate(1, new Date(), new Date());
  expect(one!.open(row)?.jwk.kid).toBe(row.kid);
  expect(one!.open({ ...row, kid: 'A'.repeat(43) })).toBeUndefined();
  expect(other!.open(row)).toBeUndefined();
  expect([one!.isOfOtherMasterKey(row), other!.isOfOtherMasterKey(row)]).toEqual([false, true]);
  const kids = Array.from({ length: 500 }, () => one!.generate(1, new Date(), new Date()).kid);
  expect(
    kids.filter((kid) => kid.startsWith('-')),
    'a command would take it for an option',
  ).toEqual([]);
});
