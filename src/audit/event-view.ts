import type { AuditEvent } from './audit-event.entity.js';

/** An event as it is shown elsewhere: one flat object, with `details` as an object. */
export function eventView(event: AuditEvent): Record<string, unknown> {
  return {
    id: event.id,
    at: event.at,
    type: event.type,
    outcome: event.outcome,
    actor_id: event.actorId,
    actor_type: event.actorType,
    subject_id: event.subjectId,
    session_id: event.sessionId,
    ip: event.ip,
    user_agent: event.userAgent,
    request_id: event.requestId,
    reason: event.reason,
    details: event.details === null ? null : parsed(event.details),
  };
}

/** A row that somebody has changed is shown too. */
function parsed(details: string): unknown {
  try {
    return JSON.parse(details);
  } catch {
    return details;
  }
}
