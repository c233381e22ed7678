// Run inside the api container, from its working directory: what its own database login may do there, one finding a line.
import { readFileSync } from 'node:fs';
import mysql from 'mysql2/promise';
import { loadConfig } from '/app/dist/src/config/load-config.js';
import { createDataSource } from '/app/dist/src/database/data-source.js';

const url = new URL(readFileSync(process.env.DATABASE_URL_FILE, 'utf8').trim());
const login = { host: url.hostname, user: url.username, password: url.password, database: 'gatehouse' };
const ssl = { ca: readFileSync(url.searchParams.get('ssl-ca'), 'utf8'), verifyIdentity: true };

const outcome = (promise) =>
  promise.then(
    () => 'done',
    ({ errno, code, message }) => (errno ? `${errno} ${code}` : `${code} ${message}`.replaceAll('\n', ' ')),
  );

const connection = await mysql.createConnection({ ...login, ssl });
const answer = async (sql) => (await connection.query(sql))[0];
const [{ Value: cipher }] = await answer("SHOW SESSION STATUS LIKE 'Ssl_version'");
console.log(`tls: ${cipher}`);
for (const sql of [
  'CREATE TABLE intruder (id INT)',
  'ALTER TABLE users ADD COLUMN intruder INT',
  'DROP TABLE users',
  'CREATE VIEW intruder AS SELECT 1',
  'DROP TABLE audit_events',
  'TRUNCATE TABLE audit_events',
  "UPDATE audit_events SET type = 'nothing'",
  'DELETE FROM audit_events',
  "UPDATE audit_seals SET root = ''",
  'DELETE FROM audit_seals',
  'DELETE FROM migrations',
  "INSERT INTO migrations (timestamp, name) VALUES (0, 'nothing')",
  'INSERT INTO clients SELECT * FROM clients',
  'DELETE FROM client_secrets',
]) {
  console.log(`${sql.split(' ').slice(0, 3).join(' ')}: ${await outcome(connection.query(sql))}`);
}
await connection.beginTransaction();
for (const table of ['audit_events', 'audit_seals']) {
  const [row] = await answer(`SELECT * FROM ${table} LIMIT 1`);
  const copy = row.id ? { ...row, id: '0' } : { ...row, number: 0 };
  console.log(`INSERT INTO ${table}: ${await outcome(connection.query(`INSERT INTO ${table} SET ?`, copy))}`);
}
await connection.rollback();
const [settings] = await answer(
  'SELECT @@require_secure_transport a, @@tls_version b, @@local_infile c, @@secure_file_priv d',
);
console.log(`settings: ${Object.values(settings).join(' ')}`);
console.log(`mysql.user: ${await outcome(connection.query('SELECT * FROM mysql.user'))}`);
const grants = (await answer('SHOW GRANTS')).map((row) => /^GRANT (.*) ON (.*) TO /.exec(Object.values(row)[0]));
for (const rights of ['USAGE', 'SELECT', 'SELECT, INSERT']) {
  console.log(
    `${rights} on: ${grants
      .filter((grant) => grant[1] === rights)
      .map((grant) => grant[2])
      .join(' ')}`,
  );
}
console.log(
  `more than a table: ${grants
    .filter(([, , what]) => what.endsWith('*'))
    .map((grant) => grant[2])
    .join(' ')}`,
);
await connection.end();

console.log(`without tls: ${await outcome(mysql.createConnection(login))}`);
const old = { ...ssl, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' };
console.log(`tls 1.1: ${await outcome(mysql.createConnection({ ...login, ssl: old }))}`);

// The same server by another of its names: what an impostor with a certificate of the same authority would look like.
url.hostname = process.argv[2];
const impostor = createDataSource(loadConfig({ NODE_ENV: 'production', DATABASE_URL: url.href }, { serves: false }));
console.log(`other name: ${await outcome(impostor.initialize())}`);
process.exit();
