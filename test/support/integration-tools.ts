import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** Debian's: another python3 of the PATH does not see Debian's packages. */
export const PYTHON = '/usr/bin/python3';
export const NGINX = '/usr/sbin/nginx';
export const APACHE = '/usr/sbin/apache2';
export const APACHE_MODULES = '/usr/lib/apache2/modules';

/** The tests of docs/integrate.md, and what each of them needs of the machine. */
const TOOLS = [
  { test: 'nginx', packages: 'nginx', isThere: () => existsSync(NGINX) },
  {
    test: 'apache',
    packages: 'apache2-bin, libapache2-mod-auth-openidc',
    isThere: () => existsSync(APACHE) && existsSync(`${APACHE_MODULES}/mod_auth_openidc.so`),
  },
  {
    test: 'pyjwt',
    packages: 'python3-jwt, python3-cryptography',
    isThere: () => spawnSync(PYTHON, ['-c', 'import jwt, cryptography']).status === 0,
  },
  { test: 'curl', packages: 'curl', isThere: () => spawnSync('curl', ['--version']).status === 0 },
];

/** The tests that cannot be run here, and which of Debian's packages they lack. */
export function findMissingTools(): { excluded: string[]; missing: string[] } {
  const absent = TOOLS.filter(({ isThere }) => !isThere());
  return {
    excluded: absent.map(({ test }) => `test/integrate/${test}.test.ts`),
    missing: absent.map(({ test, packages }) => `integrate/${test}: it needs ${packages}`),
  };
}
