import mysql from 'mysql2/promise';
import { randomBytes, randomUUID } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { AuditEvent } from '../../src/audit/audit-event.entity.js';
import { AuditExport } from '../../src/audit/audit-export.js';
import { AuditPurge, MayNotPurge } from '../../src/audit/audit-purge.js';
import { AuditSeal } from '../../src/audit/audit-seal.entity.js';
import { AuditSealer } from '../../src/audit/audit-sealer.js';
import { AuditTrail, type AuditEntry } from '../../src/audit/audit-trail.js';
import { AuditVerifier, type Finding, type KeptHead } from '../../src/audit/audit-verifier.js';
import { macOf } from '../../src/audit/event-mac.js';
import { leafHash, merkleRoot } from '../../src/audit/merkle-tree.js';
import { signSeal, unpackIds } from '../../src/audit/seal.js';
import { SealRepository, type Period } from '../../src/audit/seal.repository.js';
import { Clock } from '../../src/common/clock.js';
import { MasterKeys } from '../../src/common/master-keys.js';
import { inTransaction } from '../../src/database/transaction.js';
import { Metrics } from '../../src/metrics/metrics.js';
import { startGatehouse, type Gatehouse } from '../support/gatehouse.js';
import { isDatabaseServer } from '../support/server-process.js';

const testOnServer: typeof test = isDatabaseServer() ? test : ((() => {}) as never);
const OPERATOR = { type: 'operator', id: 'tester' } as const;
const BATCH = 4;

let gatehouse: Gatehouse;
beforeAll(async () => {
  gatehouse = await startGatehouse();
  await sealer().stop(); // these tests say when
});
afterAll(() => gatehouse.stop());

/** The ids of the trail of each test: three seals of four events. */
let ids: string[];
beforeEach(async () => {
  for (const table of ['audit_events', 'audit_unsealed', 'audit_seals']) await gatehouse.sql(`DELETE FROM ${table}`);
  for (let i = 0; i < 3; i++) await sealedBatch();
  ids = await eventIds();
});
afterEach(() => void vi.restoreAllMocks());

const sealer = (of = gatehouse) => of.app.get(AuditSealer);
const verify = (period: Period = {}, head?: KeptHead) => gatehouse.app.get(AuditVerifier).verify(period, head);
const findings = async (period?: Period, head?: KeptHead): Promise<Finding[]> => (await verify(period, head)).findings;
const seals = () => gatehouse.sql('SELECT * FROM audit_seals ORDER BY number');
const eventIds = async () => (await gatehouse.sql('SELECT id FROM audit_events ORDER BY id')).map(({ id }) => id);
const head = async () => (await verify()).head!;
const purge = (before: Date) => gatehouse.app.get(AuditPurge).purge(before, OPERATOR);
const now = () => gatehouse.app.get(Clock).now();

function entry(i: number): AuditEntry {
  return {
    type: 'authn_login_success',
    actor: { type: 'user', id: randomUUID() },
    subjectId: randomUUID(),
    sessionId: randomUUID(),
    client: { ip: '192.0.2.1', userAgent: 'a browser – ünïcode', requestId: randomUUID() },
    reason: 'test',
    details: { i, text: 'one "and" another' },
  };
}

/** Records events, at most a transaction's worth. @returns their ids. */
async function record(count: number, of = gatehouse): Promise<string[]> {
  const before = new Set(count < 100 ? await eventIds() : []);
  await of.app.get(AuditTrail).recordAll(Array.from({ length: count }, (_, i) => entry(i)));
  return count < 100 ? (await eventIds()).filter((id) => !before.has(id)) : [];
}

async function sealedBatch(): Promise<string[]> {
  const recorded = await record(BATCH);
  await sealer().sealAll();
  return recorded;
}

const rowOf = async (id: string) => (await gatehouse.sql('SELECT * FROM audit_events WHERE id = ?', [id]))[0];

function insert(table: string, row: Record<string, unknown>): Promise<unknown> {
  const names = Object.keys(row);
  const marks = names.map(() => '?').join();
  return gatehouse.sql(`INSERT INTO ${table} (${names.join()}) VALUES (${marks})`, Object.values(row));
}

const enqueue = (id: string) => insert('audit_unsealed', { event_id: id });
const remove = (id: string) => gatehouse.sql('DELETE FROM audit_events WHERE id = ?', [id]);
const change = (id: string, column: string, value: unknown) =>
  gatehouse.sql(`UPDATE audit_events SET ${column} = ? WHERE id = ?`, [value, id]);

/** An id right behind another one. */
const after = (id: string) => id.slice(0, -3) + (parseInt(id.slice(-3), 16) === 0xfff ? 'fff' : 'ffe');

/** Takes an event and its place in the queue away, as if its transaction were still open. @returns commits it. */
async function held(id: string): Promise<() => Promise<void>> {
  const row = await rowOf(id);
  await remove(id);
  await gatehouse.sql('DELETE FROM audit_unsealed WHERE event_id = ?', [id]);
  return async () => {
    await insert('audit_events', row);
    await enqueue(id);
  };
}

async function tamperingCount(): Promise<number> {
  return (await gatehouse.app.get(Metrics).auditTampering.get()).values[0]?.value ?? 0;
}

test('an untouched trail has no findings', async () => {
  await record(2);
  const [, , last] = await seals();
  expect(await verify()).toEqual({
    events: 12,
    seals: 3,
    purgedSeals: 0,
    waiting: 2,
    waitingSince: expect.any(Date),
    head: { number: 3, hash: last.hash },
    findings: [],
    findingCount: 0,
  });
  expect(Math.abs((await verify()).waitingSince!.getTime() - Date.now())).toBeLessThan(60_000);
  expect(await gatehouse.app.get(AuditVerifier).count({})).toBe(12);
  expect(await findings({}, { number: 2, hash: (await seals())[1].hash })).toEqual([]);
});

test('an empty trail has none either', async () => {
  for (const table of ['audit_events', 'audit_seals']) await gatehouse.sql(`DELETE FROM ${table}`);
  expect(await verify({ since: new Date(0) })).toMatchObject({ events: 0, seals: 0, head: undefined, findings: [] });
});

test('what the service itself records verifies', async () => {
  const { access_token: token } = await gatehouse.signUpAndLogIn();
  await gatehouse.post('/auth/logout', undefined, { token });
  expect((await verify()).waiting).toBeGreaterThan(2);
  await sealer().sealAll();
  expect(await verify()).toMatchObject({ seals: 4, waiting: 0, findings: [] });
});

test('the log is told what an operator has done when it is sealed', async () => {
  const reason = `purpose ${randomUUID()}`;
  const lines = () => gatehouse.logLines.filter((line) => line.includes(reason));
  await gatehouse.app.get(AuditTrail).record({ type: 'sensitive_read', reason, actor: OPERATOR });
  expect(lines()).toEqual([]);
  await sealer().sealAll();
  expect(lines().map((line) => JSON.parse(line))).toMatchObject([
    { event: 'sensitive_read', outcome: 'success', actor_type: 'operator', actor_id: 'tester' },
  ]);
});

// Proves ASVS 16.4.2, PCI 10.3.2, PCI 10.3.4: whatever somebody changes, removes, inserts or reorders in the audit trail is found
describe('an event', () => {
  test('of which any column was changed is named, and it alone', async () => {
    const event = ids[5] as string;
    const row = (await rowOf(event)) as Record<string, string>;
    const columns = Object.entries(row).filter(([column]) => column !== 'id');
    expect(columns).toHaveLength(13);
    const values: Record<string, unknown[]> = {
      at: ['2020-01-01 00:00:00.000'],
      details: ['{"i":1}', '', null],
      mac: [(await rowOf(ids[6] as string)).mac, '', `${row['mac']}=`],
    };
    for (const [column, value] of columns) {
      const isNullable = !['at', 'type', 'outcome', 'actor_type', 'mac'].includes(column);
      for (const other of values[column] ?? [String(value).replace(/^./, 'x'), '', ...(isNullable ? [null] : [])]) {
        await change(event, column, other);
        expect(await findings(), `${column} = ${String(other)}`).toEqual([{ kind: 'changed', seal: 2, event }]);
        await change(event, column, value);
      }
    }
    expect(await findings()).toEqual([]);
  });

  test('with an instant that is none is a finding and not an error', async () => {
    if (isDatabaseServer()) return; // their columns take none
    await change(ids[0] as string, 'at', 'yesterday');
    expect(await findings()).toEqual([{ kind: 'changed', seal: 1, event: ids[0] }]);
  });

  test('under another id is removed and inserted', async () => {
    const other = after(ids[4] as string);
    await change(ids[4] as string, 'id', other);
    expect(await findings()).toEqual([
      { kind: 'removed', seal: 2, event: ids[4] },
      { kind: 'inserted', event: other },
    ]);
  });

  test('that was removed is named, wherever it stood', async () => {
    for (const i of [0, 5, 11]) {
      const row = await rowOf(ids[i] as string);
      await remove(row.id);
      expect(await findings()).toEqual([{ kind: 'removed', seal: Math.floor(i / BATCH) + 1, event: row.id }]);
      await insert('audit_events', row);
    }
    expect(await findings()).toEqual([]);
  });

  test('that somebody else inserted is named, in the past and at present, queued or not', async () => {
    const row = await rowOf(ids[5] as string);
    const places = [
      ids[0]!.replace(/^.{8}/, '00000000'),
      after(ids[5] as string),
      ids[11]!.replace(/^.{8}/, 'ffffffff'),
    ];
    for (const id of places) {
      await insert('audit_events', { ...row, id });
      expect(await findings()).toEqual([{ kind: 'inserted', event: id }]);
      await enqueue(id);
      expect(await findings()).toEqual([{ kind: 'changed', event: id }]);
      await gatehouse.sql('DELETE FROM audit_unsealed');
      await remove(id);
    }
    const queued = after(ids[5] as string);
    await insert('audit_events', { ...row, id: queued });
    await enqueue(queued);
    const before = await tamperingCount();
    await sealer().sealAll();
    expect(await tamperingCount()).toBe(before + 1);
    expect(await findings()).toEqual([{ kind: 'changed', seal: 4, event: queued }]);
  });

  test('whose contents changed place with another one’s: both are named', async () => {
    const [one, other] = [await rowOf(ids[2] as string), await rowOf(ids[9] as string)];
    for (const id of [one.id, other.id]) await remove(id);
    await insert('audit_events', { ...one, id: other.id });
    await insert('audit_events', { ...other, id: one.id });
    expect(await findings()).toEqual([
      { kind: 'changed', seal: 1, event: one.id },
      { kind: 'changed', seal: 3, event: other.id },
    ]);
  });

  test('that was changed or removed before it was sealed is found, and the operator hears of it', async () => {
    const [changed, removed] = (await record(3)) as [string, string];
    await change(changed, 'outcome', 'failure');
    await remove(removed);
    const before = await tamperingCount();
    const found = (kind: string, event: string, seal?: number) => ({ kind, event, ...(seal && { seal }) });
    expect(await findings()).toEqual([found('changed', changed), found('removed', removed)]);
    await sealer().sealAll();
    expect(await tamperingCount()).toBe(before + 2);
    expect(gatehouse.logLines.filter((line) => line.includes('audit_tampered')).join()).toContain(changed);
    expect(await findings()).toEqual([found('changed', changed, 4), found('removed', removed, 4)]);
  });

  test('whose place in the queue was taken away is found', async () => {
    const [event] = await record(1);
    await gatehouse.sql('DELETE FROM audit_unsealed');
    expect(await findings()).toEqual([{ kind: 'unsealed', event }]);
  });

  test('that was put into the queue again is found, wherever it stands', async () => {
    const again = [ids[2], ids[9]] as string[];
    for (const id of again) await enqueue(id);
    await sealer().sealAll();
    expect(await findings()).toEqual(again.map((event) => ({ kind: 'repeated', seal: 4, event })));
  });

  test('that never was, in the queue: it keeps nothing from its seal and hides nothing', async () => {
    const invented = Array.from({ length: 25 }, () => uuidv7());
    for (const id of [...invented, '!', 'ffffffff-x']) await enqueue(id);
    const [event] = await record(1);
    const before = await tamperingCount();
    expect(await sealer().sealAll()).toBe(28);
    expect(await tamperingCount()).toBe(before + 27);
    expect(await gatehouse.sql('SELECT * FROM audit_unsealed')).toEqual([]);
    await change(ids[11] as string, 'reason', 'other');
    const found = await verify();
    expect([found.events, found.findingCount]).toEqual([12, 26]);
    expect(found.findings[0]).toEqual({ kind: 'changed', seal: 3, event: ids[11] });
    expect(found.findings.map(({ event: id }) => id)).not.toContain(event);
  });

  test('is named when it is among the first twenty, and counted when it is not', async () => {
    await record(30);
    await sealer().sealAll();
    await gatehouse.sql("UPDATE audit_events SET reason = 'other'");
    expect((await verify()).findingCount).toBe(42);
    expect(await findings()).toEqual(
      [...ids, ...(await eventIds()).slice(12)].slice(0, 20).map((event, i) => ({
        kind: 'changed',
        seal: Math.min(4, Math.floor(i / BATCH) + 1),
        event,
      })),
    );
  });
});

// Proves ASVS 16.4.2, PCI 10.3.2, PCI 10.3.4: whatever somebody changes, removes, inserts or reorders in the audit trail is found
describe('a seal', () => {
  const changeSeal = (number: number, column: string, value: unknown) =>
    gatehouse.sql(`UPDATE audit_seals SET ${column} = ? WHERE number = ?`, [value, number]);

  test('whose list was put into another order, or has another event', async () => {
    const [, { event_ids: list }] = await seals();
    const packed = unpackIds(list).map((id) => id.replaceAll('-', ''));
    await changeSeal(2, 'event_ids', [packed[0], packed[2], packed[1], packed[3]].join(''));
    expect(await findings()).toEqual([{ kind: 'reordered', seal: 2, event: ids[5] }]);

    await changeSeal(2, 'event_ids', [packed[0], packed[0], packed[2], packed[3]].join(''));
    await remove(ids[5] as string);
    expect(await findings()).toEqual([{ kind: 'reordered', seal: 2, event: ids[4] }]);

    await changeSeal(2, 'event_ids', packed.slice(0, 3).join(''));
    expect(await findings()).toEqual([
      { kind: 'chain', seal: 2 },
      { kind: 'removed', seal: 2, event: ids[5] },
      { kind: 'unsealed', event: ids[7] },
    ]);
    await changeSeal(2, 'event_ids', 'zz');
    expect(await findings()).toContainEqual({ kind: 'chain', seal: 2 });
  });

  test('of which any column was changed', async () => {
    const [first, second, third] = await seals();
    const others: Record<string, unknown> = {
      kind: 'purge',
      sealed_at: '2020-01-01 00:00:00.000',
      event_count: 5,
      root: first.root,
      purged_through: 2,
      previous: third.hash,
      hash: first.hash,
      signature: `${second.signature}=`,
    };
    expect([...Object.keys(others), 'number', 'event_ids', 'key_id'].sort()).toEqual(Object.keys(second).sort());
    for (const [column, value] of Object.entries(others)) {
      await changeSeal(2, column, value);
      const found = await findings();
      expect(found[0], column).toEqual({ kind: 'chain', seal: 2 });
      for (const { seal } of found) expect([2, 3], column).toContain(seal);
      await changeSeal(2, column, second[column]);
    }
    await changeSeal(2, 'key_id', '00000000');
    expect(await findings()).toEqual([{ kind: 'unknown_key', seal: 2 }]);
    await changeSeal(2, 'key_id', second.key_id);
    expect(await findings()).toEqual([]);
  });

  test('whose content and hash were made to fit, without the key', async () => {
    await remove(ids[6] as string);
    const [, second] = await seals();
    const row = await gatehouse.dataSource.getRepository(AuditSeal).findOneByOrFail({ number: 2 });
    const forged = signSeal(
      { ...row, eventCount: 3, root: merkleRoot([leafHash('x')]).toString('base64url') },
      new MasterKeys([randomBytes(32)]),
    );
    await changeSeal(2, 'hash', forged.hash);
    await changeSeal(2, 'root', forged.root);
    await changeSeal(2, 'event_count', 3);
    await changeSeal(2, 'signature', forged.signature);
    expect((await findings())[0]).toEqual({ kind: 'chain', seal: 2 });
    await changeSeal(2, 'key_id', forged.keyId);
    expect((await findings()).map(({ kind }) => kind)).toContain('unknown_key');
    expect(second.key_id).not.toBe(forged.keyId);
  });

  test('that was removed from the middle, or from the beginning', async () => {
    const all = await seals();
    for (const [number, events] of [
      [2, ids.slice(4, 8)],
      [1, ids.slice(0, 4)],
    ] as const) {
      // prettier-ignore
      await gatehouse.sql('DELETE FROM audit_seals WHERE number = ?', [number]);
      const found = await findings();
      expect(found).toContainEqual({ kind: 'chain', seal: number + 1 });
      for (const event of events) expect(found).toContainEqual({ kind: 'unsealed', event });
      expect(found).toHaveLength(5);
      await insert('audit_seals', all[number - 1]);
    }
  });

  test('the tail is missed by its events, and by the head that was kept elsewhere', async () => {
    const kept = await head();
    await gatehouse.sql('DELETE FROM audit_seals WHERE number = 3');
    expect(await findings()).toEqual(ids.slice(8).map((event) => ({ kind: 'unsealed', event })));
    for (const id of ids.slice(8)) await remove(id);
    expect(await findings(), 'nothing is left that could tell').toEqual([]);
    expect(await findings({}, kept)).toEqual([{ kind: 'chain', seal: 3 }]);
    await sealedBatch();
    expect(await findings({}, kept), 'another one in its place').toEqual([{ kind: 'chain', seal: 3 }]);
  });
});

describe('sealing', () => {
  test('an event whose transaction ends after later ones were sealed', async () => {
    const [late] = (await record(1)) as [string];
    const commit = await held(late);
    await sealedBatch();
    expect(await findings()).toEqual([]);
    await commit();
    expect(await verify()).toMatchObject({ waiting: 1, findings: [] });
    expect(await sealer().sealAll()).toBe(1);
    expect(await verify()).toMatchObject({ events: 17, seals: 5, waiting: 0, findings: [] });
  });

  testOnServer('does not wait for a transaction that is open, nor has that one to wait', async () => {
    let commit!: () => void;
    let isRecorded!: () => void;
    const [end, recorded] = [new Promise<void>((done) => (commit = done)), new Promise<void>((done) => (isRecorded = done))]; // prettier-ignore
    const open = inTransaction(gatehouse.dataSource, async (transaction) => {
      await gatehouse.app.get(AuditTrail).record(entry(1), transaction);
      isRecorded();
      await end;
      await gatehouse.app.get(AuditTrail).record(entry(2), transaction);
    });
    await recorded;
    try {
      for (const count of [1, 30, 700]) {
        await record(count);
        expect(await sealer().sealAll()).toBe(count);
      }
    } finally {
      commit();
      await open;
    }
    expect(await sealer().sealAll()).toBe(2);
    expect(await verify()).toMatchObject({ events: 12 + 731 + 2, waiting: 0, findings: [] });
  });

  test('by two at once: every event once, and no gap', async () => {
    const other = isDatabaseServer() ? await gatehouse.another() : gatehouse;
    if (other !== gatehouse) await sealer(other).stop();
    for (let i = 0; i < 4; i++) await record(500);
    await Promise.all([gatehouse, other, gatehouse, other].map((instance) => sealer(instance).sealAll()));
    await sealer().sealAll();
    const all = await seals();
    expect(all.map(({ number }) => Number(number))).toEqual(all.map((_, i) => i + 1));
    const sealed = all.flatMap(({ event_ids: list }) => unpackIds(list));
    expect(sealed.sort()).toEqual(await eventIds());
    expect(await verify()).toMatchObject({ events: sealed.length, waiting: 0, findings: [] });
    if (other !== gatehouse) await other.stop();
  });

  test('that is broken off leaves nothing half done', async () => {
    await record(BATCH);
    const repository = gatehouse.app.get(SealRepository);
    const append = repository.append.bind(repository);
    vi.spyOn(repository, 'append').mockImplementationOnce(async (...args) => {
      await append(...args);
      throw new Error('killed');
    });
    await expect(sealer().sealAll()).rejects.toThrow('killed');
    expect(await verify()).toMatchObject({ seals: 3, waiting: BATCH, findings: [] });
    expect(await sealer().sealAll()).toBe(BATCH);
    expect(await verify()).toMatchObject({ events: 16, seals: 4, waiting: 0, findings: [] });
  });

  test('goes on behind a seal that somebody else has put at the end, and the operator hears of it', async () => {
    const [, , third] = await seals();
    await insert('audit_seals', { ...third, number: 4 });
    const before = await tamperingCount();
    await record(BATCH);
    expect(await sealer().sealAll()).toBe(BATCH);
    expect(await tamperingCount()).toBe(before + 1);
    expect((await findings()).filter(({ kind }) => kind === 'chain')).toEqual([{ kind: 'chain', seal: 4 }]);
    await sealedBatch();
    expect(await tamperingCount(), 'once').toBe(before + 1);

    await insert('audit_seals', { ...third, number: '9007199254740991' });
    await record(BATCH);
    await expect(sealer().sealAll(), 'no number is left').rejects.toThrow('the last seal is not ours');
    expect((await verify()).waiting).toBe(BATCH);
  });

  test('is the work of one instance, until its lease ends or is given back', async () => {
    const other = await gatehouse.another();
    await sealer(other).stop();
    await sealer().sealAll(); // its start is an event
    await record(1);
    expect(await sealer().sealUnderLease()).toBe(1);
    await record(1);
    expect(await sealer(other).sealUnderLease()).toBe(0);
    other.passSeconds(16);
    expect(await sealer(other).sealUnderLease()).toBe(1);
    await record(1);
    expect(await sealer().sealUnderLease()).toBe(0);
    await sealer(other).stop();
    expect(await sealer().sealUnderLease()).toBe(1);
    await sealer().stop();
    await insert('leases', { name: 'audit_sealer', holder: randomUUID(), expires_at: '9999-12-31 00:00:00.000' });
    await record(1);
    expect(await sealer().sealUnderLease(), 'a lease without end is none').toBe(1);
    await sealer().stop();
    await other.stop();
  });
});

// Proves ASVS 16.4.2, PCI 10.3.2, PCI 10.3.4: whatever somebody changes, removes, inserts or reorders in the audit trail is found
describe('a period', () => {
  const HOUR = 3_600;
  afterEach(() => gatehouse.passSeconds(-2 * HOUR));

  /** Three hours with a seal each; in the second one there is an event of the first, and in the third one of the second. */
  async function threeHours(): Promise<{ period: Required<Period>; hours: string[][] }> {
    const first = await record(BATCH);
    const commitFirst = await held(first[1] as string);
    await sealer().sealAll();
    gatehouse.passSeconds(HOUR);
    const since = new Date(now().getTime() - 1_000);
    const second = await record(BATCH);
    const commitSecond = await held(second[2] as string);
    await commitFirst();
    await sealer().sealAll();
    gatehouse.passSeconds(HOUR);
    const third = await record(BATCH);
    await commitSecond();
    await sealer().sealAll();
    return { period: { since, until: new Date(now().getTime() - 1_000) }, hours: [first, second, third] };
  }

  test('with late events at both ends', async () => {
    const { period } = await threeHours();
    expect((await seals()).map(({ event_count: n }) => n)).toEqual([4, 4, 4, 3, 4, 5]);
    expect(await verify(period)).toMatchObject({ events: 4, seals: 1, head: { number: 5 }, findings: [] });
    expect(await verify({ since: period.since })).toMatchObject({ events: 9, seals: 2, findings: [] });
    expect(await verify({ until: period.since })).toMatchObject({ events: 15, seals: 4, findings: [] });
    expect(await verify({ until: period.until })).toMatchObject({ events: 19, seals: 5, findings: [] });
    expect(await verify({ since: now() })).toMatchObject({ events: 0, seals: 0, findings: [] });
    expect(await verify({ until: new Date(0) })).toMatchObject({ events: 0, seals: 0, findings: [] });
    await record(2);
    expect(await verify({ since: now() })).toMatchObject({ events: 0, waiting: 2, findings: [] });
  });

  test('finds what was touched in it, and what was smuggled in between two', async () => {
    const { period, hours } = await threeHours();
    const [first, second] = hours as [string[], string[]];
    await change(second[1] as string, 'reason', 'other');
    const found = { kind: 'changed', seal: 5, event: second[1] };
    expect(await findings(period)).toEqual([found]);
    await change(second[1] as string, 'reason', 'test');

    const row = await rowOf(first[3] as string);
    const between = after(row.id);
    await insert('audit_events', { ...row, id: between });
    expect(await findings({ until: period.since })).toEqual([]);
    expect(await findings(period)).toEqual([{ kind: 'inserted', event: between }]);
    await remove(between);

    await gatehouse.sql('DELETE FROM audit_seals WHERE number = 4');
    expect(await findings({ since: period.since })).toContainEqual({ kind: 'chain', seal: 5 });
  });

  test('out of which somebody has dated its seals', async () => {
    const { period } = await threeHours();
    const date = (instant: string, numbers: string) =>
      gatehouse.sql(`UPDATE audit_seals SET sealed_at = '${instant}' WHERE number IN (${numbers})`);
    await date('2020-01-01 00:00:00.000', '5');
    expect(await findings({ since: period.since })).toEqual([{ kind: 'chain', seal: 5 }]);
    await date('2020-01-01 00:00:00.000', '5,6');
    expect(await findings({ since: period.since })).toEqual([{ kind: 'chain', seal: 6 }]);
    await date('2090-01-01 00:00:00.000', '5,6');
    expect(await findings({ until: period.until })).toEqual([{ kind: 'chain', seal: 5 }]);
  });

  test('a seal whose clock was behind is one of those around it', async () => {
    gatehouse.passSeconds(2 * HOUR);
    await sealedBatch();
    gatehouse.passSeconds(-60);
    await sealedBatch();
    gatehouse.passSeconds(60);
    await sealedBatch();
    const since = new Date(now().getTime() - 30_000);
    expect(await verify({ since })).toMatchObject({ seals: 3, findings: [] });
  });
});

describe('a purge', () => {
  test('takes nothing young with a seal that a clock has dated back', async () => {
    gatehouse.passSeconds(-2 * 365 * 86_400);
    await sealedBatch();
    gatehouse.passSeconds(2 * 365 * 86_400);
    expect(await purge(new Date(Date.now() - 365 * 86_400_000))).toBe(0);
    expect(await verify()).toMatchObject({ events: 16, seals: 4, findings: [] });
  });

  test('leaves a trail that is whole', async () => {
    const first = await seals();
    gatehouse.passSeconds(60);
    const before = new Date(now().getTime() - 30_000);
    await sealedBatch();
    expect(await purge(before)).toBe(12);
    expect(await verify()).toMatchObject({ events: 4, seals: 5, purgedSeals: 3, waiting: 1, findings: [] });
    expect(await gatehouse.app.get(AuditVerifier).count({})).toBe(4);
    await sealer().sealAll();
    expect(await findings()).toEqual([]);
    expect(await findings({ since: before })).toEqual([]);
    expect(await findings({}, { number: 2, hash: first[1].hash })).toEqual([]);
    expect(await purge(before)).toBe(0);
    expect((await seals()).filter(({ kind }) => kind === 'purge')).toHaveLength(1);
    const [{ actor_id, type, details }] = await gatehouse.sql(
      "SELECT actor_id, type, details FROM audit_events WHERE reason = 'audit_purge'",
    );
    expect([actor_id, type]).toEqual(['tester', 'sensitive_delete']);
    expect(JSON.parse(details)).toEqual({ through_seal: 3, before: before.toISOString() });
    gatehouse.passSeconds(-60);
  });

  test('that is broken off is no finding, and a repeat goes on', async () => {
    const before = new Date(Date.now() + 1);
    const repository = gatehouse.app.get(SealRepository);
    const clear = repository.clearList.bind(repository);
    vi.spyOn(repository, 'clearList').mockImplementation(async (number, transaction) => {
      await clear(number, transaction);
      if (number === 2) throw new Error('killed');
    });
    await expect(purge(before)).rejects.toThrow('killed');
    vi.restoreAllMocks();
    expect(await verify()).toMatchObject({ events: 8, purgedSeals: 1, findings: [] });
    await change(ids[5] as string, 'reason', 'other');
    expect(await findings(), 'what is still there must be ours').toMatchObject([{ kind: 'changed', event: ids[5] }]);
    expect(await purge(before)).toBe(8);
    expect(await verify()).toMatchObject({ events: 0, purgedSeals: 3, findings: [] });
  });

  test('that begins while the trail is verified is no finding', async () => {
    await purge(new Date(Date.now() + 1));
    vi.spyOn(gatehouse.app.get(SealRepository), 'purgedThrough').mockResolvedValueOnce(0);
    expect(await verify()).toMatchObject({ purgedSeals: 3, findings: [] });
  });

  test('that takes what the verification has read and not yet compared is no finding', async () => {
    for (let i = 0; i < 20; i++) await sealedBatch(); // more than a page of seals, and a page of events
    const repository = gatehouse.app.get(SealRepository);
    const findNext = repository.findNext.bind(repository);
    vi.spyOn(repository, 'findNext').mockImplementation(async (after, ...rest) => {
      if (after === 20) await purge(new Date(Date.now() + 1));
      return findNext(after, ...rest);
    });
    expect(await verify()).toMatchObject({ purgedSeals: 3, findings: [] });
  });

  test('without its statement is a removal', async () => {
    await purge(new Date(Date.now() + 1));
    await gatehouse.sql("DELETE FROM audit_seals WHERE kind = 'purge'");
    expect(await findings()).toEqual([1, 2, 3].map((seal) => ({ kind: 'chain', seal })));
  });

  test('that somebody else has stated is none', async () => {
    const [, , third] = await seals();
    await insert('audit_seals', {
      ...third,
      number: 4,
      kind: 'purge',
      event_ids: '',
      event_count: 0,
      purged_through: 3,
    });
    for (const id of ids.slice(0, 4)) await remove(id);
    expect((await findings()).map(({ kind }) => kind).sort()).toEqual([
      'chain',
      ...ids.slice(0, 4).map(() => 'removed'),
    ]);
    expect(await purge(new Date(0)), 'nor does a repeat believe it').toBe(0);
    expect(await eventIds()).toHaveLength(8);
  });
});

describe('the master key', () => {
  test('may be forgotten once what it has sealed was purged, and stated under the new one', async () => {
    await purge(new Date(Date.now() + 1));
    await sealer().sealAll();
    const fresh = randomBytes(32).toString('base64');
    const other = await gatehouse.another({ MASTER_KEY: `${fresh},${secrets()}` });
    await sealer(other).stop();
    await sealer(other).sealAll();
    expect((await verifyWith(fresh)).findings, 'nothing is stated under it').not.toEqual([]);
    const through = new Date(Date.now() + 1);
    await other.app.get(AuditPurge).purge(through, OPERATOR);
    await sealer(other).sealAll();
    expect((await verifyWith(fresh)).findings).toEqual([]);
    expect(await verifyWith(fresh, secrets())).toMatchObject({ findings: [] });
    await other.stop();
  });

  const secrets = () => gatehouse.env['MASTER_KEY'] as string;
  const verifyWith = (...keys: string[]) => {
    const masterKeys = new MasterKeys(keys.map((key) => Buffer.from(key, 'base64')));
    const rows = gatehouse.dataSource.getRepository(AuditSeal);
    return new AuditVerifier(gatehouse.dataSource, masterKeys, new SealRepository(rows, masterKeys)).verify({});
  };

  // Proves ASVS 11.2.2: a new master key goes in front, and what the old one sealed still opens
  test('may change, as long as the old one is kept', async () => {
    const fresh = randomBytes(32).toString('base64');
    const other = await gatehouse.another({ MASTER_KEY: `${fresh},${secrets()}` });
    await sealer(other).stop();
    await sealer().sealAll(); // its start is an event
    await record(BATCH, other);
    await sealer(other).sealAll();
    expect(new Set((await seals()).map(({ key_id }) => key_id)).size).toBe(2);
    expect(await verifyWith(fresh, secrets())).toMatchObject({ events: 17, seals: 5, findings: [] });
    expect((await verifyWith(fresh)).findings).toEqual([{ kind: 'unknown_key', seal: 1 }]);
    await change(ids[6] as string, 'reason', 'other');
    expect((await verifyWith(fresh)).findings, 'the roots are still there').toEqual([
      { kind: 'unknown_key', seal: 1 },
      { kind: 'changed', seal: 2 },
    ]);
    await other.stop();
  });
});

test('what is exported is everything, once, in order', async () => {
  await gatehouse.sql("UPDATE audit_events SET at = '2026-01-02 03:04:05.678'"); // pages within one instant
  for (let i = 0; i < 3; i++) await record(700);
  const all = async (period: Period) => {
    const exported: AuditEvent[] = [];
    for await (const event of gatehouse.app.get(AuditExport).stream(period)) exported.push(event);
    return exported;
  };
  const events = await all({});
  expect(events.map(({ id }) => id).sort()).toEqual(await eventIds());
  const times = events.map(({ at }) => at.getTime());
  expect(times).toEqual([...times].sort((one, other) => one - other));
  const instant = new Date('2026-01-02T03:04:05.678Z');
  expect(await all({ until: instant })).toEqual([]);
  expect(await all({ since: instant, until: new Date(instant.getTime() + 1) })).toHaveLength(12);
  expect(await all({ since: new Date(instant.getTime() + 1) })).toHaveLength(2_100);
});

// Proves PCI 10.7.2, PCI 10.7.3: what cannot be recorded is not done, and the next login works again
test('a login that cannot be recorded is answered with 503 and opens no session', async () => {
  const account = await gatehouse.signUp();
  await gatehouse.sql('ALTER TABLE audit_events RENAME TO audit_events_away');
  try {
    const { status, body } = await gatehouse.post('/auth/login', { email: account.email, password: account.password });
    expect([status, body.code]).toEqual([503, 'unavailable']);
  } finally {
    await gatehouse.sql('ALTER TABLE audit_events_away RENAME TO audit_events');
  }
  expect(await gatehouse.sql('SELECT id FROM sessions WHERE user_id = ?', [account.id])).toEqual([]);
  await gatehouse.logIn(account);
});

// Proves ASVS 16.4.2, PCI 10.3.2: the database lets a server add to the audit trail and never change it
testOnServer('a server may add to the trail and never change it', async () => {
  const user = `audit_${randomBytes(4).toString('hex')}`;
  const password = randomBytes(12).toString('hex');
  const database = new URL(gatehouse.env['DATABASE_URL'] as string).pathname.slice(1);
  await gatehouse.sql(`CREATE USER '${user}'@'%' IDENTIFIED BY '${password}'`);
  for (const row of await gatehouse.sql('SHOW TABLES')) {
    const table = Object.values(row)[0] as string;
    const rights = ['audit_events', 'audit_seals'].includes(table) ? '' : ', UPDATE, DELETE';
    await gatehouse.sql(`GRANT SELECT, INSERT${rights} ON ${database}.${table} TO '${user}'@'%'`);
  }
  const url = Object.assign(new URL(gatehouse.env['DATABASE_URL'] as string), { username: user, password }).href;

  const connection = await mysql.createConnection(url);
  for (const table of ['audit_events', 'audit_seals']) {
    for (const statement of [
      `UPDATE ${table} SET mac = ''`,
      `DELETE FROM ${table}`,
      `TRUNCATE ${table}`,
      `DROP TABLE ${table}`,
    ]) {
      await expect(connection.query(statement), statement).rejects.toMatchObject({ errno: 1142 });
    }
  }
  await connection.end();

  const restricted = await gatehouse.another({ DATABASE_URL: url });
  await sealer(restricted).stop();
  await restricted.signUpAndLogIn();
  expect(await sealer(restricted).sealAll()).toBeGreaterThan(1);
  const before = await verify();
  expect(before.findings).toEqual([]);
  const attempt = restricted.app.get(AuditPurge).purge(new Date(Date.now() + 1), OPERATOR);
  await expect(attempt).rejects.toThrow(MayNotPurge);
  expect(await verify()).toEqual(before);
  await restricted.stop();
  await gatehouse.sql(`DROP USER '${user}'@'%'`);
});

test('fifty thousand events are verified with few in memory', { timeout: 240_000 }, async () => {
  await recordAhead(50);
  await sealer().sealAll();
  const since = new Date(now().getTime() + 1);
  gatehouse.passSeconds(1);
  for (let i = 0; i < 100; i++) await record(500);
  expect(await sealer().sealAll()).toBe(50_000);
  gatehouse.passSeconds(-1);

  let most = 0;
  const watch = (_: number, inMemory: number) => void (most = Math.max(most, inMemory));
  const verifier = gatehouse.app.get(AuditVerifier);
  expect(await verifier.verify({ since }, undefined, watch)).toMatchObject({
    events: 50_000,
    seals: 100,
    findings: [],
  });
  expect(most).toBeLessThan(2_000);
  const whole = await verifier.verify({}, undefined, watch);
  expect(whole, 'the end of the trail is in an early seal').toMatchObject({ events: 50_062, seals: 104, findings: [] });
  expect(most).toBeLessThan(22_000);
});

/** Events of an instance whose clock is an hour ahead. */
async function recordAhead(count: number): Promise<void> {
  const masterKeys = gatehouse.app.get(MasterKeys);
  const template = await gatehouse.dataSource.getRepository(AuditEvent).findOneByOrFail({ id: ids[0] as string });
  for (let i = 0; i < count; i++) {
    const event = { ...template, id: uuidv7({ msecs: Date.now() + 3_600_000 }) };
    await gatehouse.dataSource.getRepository(AuditEvent).insert({ ...event, mac: macOf(event, masterKeys) });
    await enqueue(event.id);
  }
}
