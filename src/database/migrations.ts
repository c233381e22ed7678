import { CreateUsers1795305600001 } from '../../migrations/20261122000001-create-users.js';
import { CreateSessions1795305600002 } from '../../migrations/20261122000002-create-sessions.js';
import { CreateRevocations1795305600003 } from '../../migrations/20261122000003-create-revocations.js';
import { CreateSigningKeys1795305600004 } from '../../migrations/20261122000004-create-signing-keys.js';

/** Every migration, oldest first. The number in a name is its UTC time in milliseconds, as TypeORM wants it. */
export const migrations = [
  CreateUsers1795305600001,
  CreateSessions1795305600002,
  CreateRevocations1795305600003,
  CreateSigningKeys1795305600004,
];
