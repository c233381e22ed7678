import { QueryFailedError } from 'typeorm';

/** MySQL's error for the victim of a deadlock. A row that stays locked (1205) is not tried again: that took its time already. */
const ER_LOCK_DEADLOCK = 1213;
const ER_DUP_ENTRY = 1062;
const ER_TABLEACCESS_DENIED_ERROR = 1142;

/** The database chose this transaction to end, so that another could go on. */
export function isDeadlock(error: unknown): boolean {
  return (error as { errno?: number } | null)?.errno === ER_LOCK_DEADLOCK;
}

/** A unique constraint refused the row. */
export function isDuplicate(error: unknown): boolean {
  if (!(error instanceof QueryFailedError)) return false;
  const { errno, code } = error.driverError as { errno?: number; code?: string };
  return errno === ER_DUP_ENTRY || /^SQLITE_CONSTRAINT_(UNIQUE|PRIMARYKEY)$/.test(code ?? '');
}

/** This user of the database may not do that to this table. */
export function isDenied(error: unknown): boolean {
  const { driverError } = error as { driverError?: { errno?: number } };
  return driverError?.errno === ER_TABLEACCESS_DENIED_ERROR;
}
