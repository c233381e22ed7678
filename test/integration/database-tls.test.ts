import { execFileSync } from 'node:child_process';
import mysql from 'mysql2/promise';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { loadConfig } from '../../src/config/load-config.js';
import { createDataSource } from '../../src/database/data-source.js';
import { startServer } from '../support/database-server.js';
import { baseEnvironment } from '../support/gatehouse.js';

const source = inject('database');

// Needs a server of its own with certificates of its own, so it runs where the suite starts one.
if (source.kind === 'server') {
  let folder: string;
  let stop: () => Promise<void>;
  let port: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'gatehouse-tls-'));
    for (const name of ['ours', 'theirs']) makeAuthority(name);
    makeCertificate('localhost');
    const server = await startServer(source.binary, [
      `--ssl-ca=${path('ours.pem')}`,
      `--ssl-cert=${path('server.pem')}`,
      `--ssl-key=${path('server.key')}`,
    ]);
    ({ stop } = server);
    port = new URL(server.url).port;
  });
  afterAll(async () => {
    await stop();
    rmSync(folder, { recursive: true });
  });

  const path = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });

  function makeAuthority(name: string): void {
    const subject = ['-subj', `/CN=${name}`, '-days', '2'];
    openssl(
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.pem`,
      ...subject,
    );
  }

  function makeCertificate(host: string): void {
    openssl(
      'req',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-keyout',
      'server.key',
      '-out',
      'server.csr',
      '-subj',
      `/CN=${host}`,
    );
    writeFileSync(path('names'), `subjectAltName=DNS:${host}`);
    const authority = ['-CA', 'ours.pem', '-CAkey', 'ours.key', '-CAcreateserial'];
    openssl('x509', '-req', '-in', 'server.csr', ...authority, '-out', 'server.pem', '-days', '2', '-extfile', 'names');
    openssl('rsa', '-in', 'server.key', '-out', 'server.key', '-traditional');
    execFileSync('chmod', ['-R', 'a+rX', folder]);
  }

  async function cipherWith(host: string, parameters: string): Promise<string> {
    const url = `mysql://root@${host}:${port}/mysql?${parameters}`;
    const dataSource = await createDataSource(loadConfig(baseEnvironment(url))).initialize();
    try {
      const rows: { Value: string }[] = await dataSource.query("SHOW SESSION STATUS LIKE 'Ssl_cipher'");
      return rows[0]!.Value;
    } finally {
      await dataSource.destroy();
    }
  }

  // Proves ASVS 12.3.1, ASVS 12.3.2, ASVS 12.3.4: TLS to the database, chain and name verified
  test('chain and name are right: encrypted', async () => {
    expect(await cipherWith('localhost', `ssl-mode=VERIFY_IDENTITY&ssl-ca=${path('ours.pem')}`)).toMatch(
      /^TLS_|GCM|CHACHA/,
    );
  });

  // Proves ASVS 12.3.1, ASVS 12.3.2, ASVS 12.3.4: TLS to the database, chain and name verified
  test('another authority is refused', async () => {
    await expect(cipherWith('localhost', `ssl-mode=VERIFY_IDENTITY&ssl-ca=${path('theirs.pem')}`)).rejects.toThrow(
      /certificate/i,
    );
    await expect(cipherWith('localhost', 'ssl-mode=VERIFY_IDENTITY')).rejects.toThrow(/certificate/i);
  });

  // Proves ASVS 12.3.1, ASVS 12.3.2, ASVS 12.3.4: TLS to the database, chain and name verified
  test('an address instead of a name is refused before it is tried: nobody would check it', async () => {
    await expect(cipherWith('127.0.0.1', `ssl-mode=VERIFY_IDENTITY&ssl-ca=${path('ours.pem')}`)).rejects.toThrow(
      /must name its host/,
    );
  });

  // Proves ASVS 12.3.1, ASVS 12.3.2, ASVS 12.3.4: TLS to the database, chain and name verified
  test('another name is refused', async () => {
    makeCertificate('other.example');
    const connection = await mysql.createConnection(`mysql://root@127.0.0.1:${port}/mysql`);
    await connection.query('FLUSH SSL');
    await connection.end();
    await expect(cipherWith('localhost', `ssl-mode=VERIFY_IDENTITY&ssl-ca=${path('ours.pem')}`)).rejects.toThrow(
      /altnames|other\.example/,
    );
  });

  test('off on loopback, unless asked for', async () => {
    expect(await cipherWith('127.0.0.1', '')).toBe('');
  });
} else if (source.kind === 'url') {
  test('a server whose authority we do not know is refused', async () => {
    const url = new URL(source.url);
    url.hostname = 'localhost';
    url.searchParams.set('ssl-mode', 'VERIFY_IDENTITY');
    await expect(createDataSource(loadConfig(baseEnvironment(url.href))).initialize()).rejects.toThrow(/certificate/i);
  });
}
