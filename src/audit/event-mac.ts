import type { MasterKeys } from '../common/master-keys.js';
import type { AuditEvent } from './audit-event.entity.js';

/** An event as one text, the same before it is stored and after it is read. */
export function canonicalEvent(event: Omit<AuditEvent, 'mac'>): string {
  return JSON.stringify([
    event.id,
    event.at, // null when the column holds no instant: then somebody else wrote it
    event.type,
    event.outcome,
    event.actorId,
    event.actorType,
    event.subjectId,
    event.sessionId,
    event.ip,
    event.userAgent,
    event.requestId,
    event.reason,
    event.details,
  ]);
}

/** What an event carries so that a row that was changed, or that somebody else inserted, shows by itself. */
export function macOf(event: Omit<AuditEvent, 'mac'>, masterKeys: MasterKeys): string {
  return masterKeys.mac('audit-event', Buffer.from(canonicalEvent(event))).toString('base64url');
}

/** Whether the row is what we wrote, under any of the master keys. */
export function isAuthentic(event: AuditEvent, masterKeys: MasterKeys): boolean {
  const mac = Buffer.from(event.mac, 'base64url');
  const isCanonical = mac.toString('base64url') === event.mac; // one mac has many spellings, and the seal covers the text
  return isCanonical && masterKeys.verifyMac('audit-event', Buffer.from(canonicalEvent(event)), mac);
}
