import { CreateUsers1795305600001 } from '../../migrations/20261122000001-create-users.js';
import { CreateSessions1795305600002 } from '../../migrations/20261122000002-create-sessions.js';
import { CreateRevocations1795305600003 } from '../../migrations/20261122000003-create-revocations.js';
import { CreateSigningKeys1795305600004 } from '../../migrations/20261122000004-create-signing-keys.js';
import { AccountLife1795305600005 } from '../../migrations/20261122000005-account-life.js';
import { CreateOutbox1795305600006 } from '../../migrations/20261122000006-create-outbox.js';
import { CreateAuditEvents1795305600007 } from '../../migrations/20261122000007-create-audit-events.js';
import { UnderAttack1795305600008 } from '../../migrations/20261122000008-under-attack.js';
import { InternalServices1795392000009 } from '../../migrations/20261123000009-internal-services.js';

/** Every migration, oldest first. The number in a name is its UTC time in milliseconds, as TypeORM wants it. */
export const migrations = [
  CreateUsers1795305600001,
  CreateSessions1795305600002,
  CreateRevocations1795305600003,
  CreateSigningKeys1795305600004,
  AccountLife1795305600005,
  CreateOutbox1795305600006,
  CreateAuditEvents1795305600007,
  UnderAttack1795305600008,
  InternalServices1795392000009,
];
