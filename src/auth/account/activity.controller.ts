import { Controller, Get, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiProperty, ApiQuery, ApiTags } from '../../common/openapi-decorators.js';
import { validate as isUuid } from 'uuid';
import { AuditTrail } from '../../audit/audit-trail.js';
import { InvalidFields, type FieldError } from '../../common/domain-error.js';
import { ApiBearer, ApiProblem, ApiProblems } from '../../common/openapi.js';
import { CurrentUser, type Principal } from '../../common/principal.js';
import { ownEventView } from './account-export.service.js';

const DEFAULT_LIMIT = 20;
const MAX_LIMIT = 100;

class Activity {
  @ApiProperty({
    type: 'array',
    items: { type: 'object' },
    description: 'What was recorded about the account, newest first.',
  })
  events!: Record<string, unknown>[];

  @ApiProperty({ type: 'string', nullable: true, description: 'For the next page; null on the last.' })
  next_cursor!: string | null;
}

@ApiTags('Users')
@ApiBearer()
@Controller('users/me')
export class ActivityController {
  constructor(private readonly audit: AuditTrail) {}

  @Get('activity')
  @ApiOperation({ summary: 'What happened to the account: logins, failures, changes' })
  @ApiQuery({ name: 'cursor', required: false, description: '`next_cursor` of the page before.' })
  @ApiQuery({
    name: 'limit',
    required: false,
    schema: { type: 'integer', minimum: 1, maximum: MAX_LIMIT, default: DEFAULT_LIMIT },
  })
  @ApiOkResponse({ type: Activity, description: 'One page.' })
  @ApiProblem(422, 'invalid_fields', 'One or more fields are missing, of the wrong type or refused.', {
    note: '`errors` names each.',
    errors: [{ field: 'limit', code: 'out_of_range', message: 'Must be 1 to 100.' }],
  })
  @ApiProblems(401, 503)
  async activity(@CurrentUser() { userId }: Principal, @Query() query: Record<string, unknown>): Promise<Activity> {
    const { limit, cursor } = pageOf(query);
    const found = await this.audit.newestAbout(userId, limit + 1, cursor);
    const events = found.slice(0, limit);
    return { events: events.map(ownEventView), next_cursor: found.length > limit ? (events.at(-1)?.id ?? null) : null };
  }
}

/** @throws InvalidFields with everything that is wrong with it. */
function pageOf({ cursor, limit = String(DEFAULT_LIMIT), ...others }: Record<string, unknown>) {
  const errors: FieldError[] = [];
  const isLimit =
    typeof limit === 'string' && /^\d{1,3}$/.test(limit) && Number(limit) >= 1 && Number(limit) <= MAX_LIMIT;
  if (!isLimit) errors.push({ field: 'limit', code: 'out_of_range', message: `Must be 1 to ${MAX_LIMIT}.` });
  if (cursor !== undefined && !isUuid(cursor)) {
    errors.push({ field: 'cursor', code: 'invalid_cursor', message: 'Is not one that we gave.' });
  }
  if (Object.keys(others).length > 0) {
    errors.push({ field: 'query', code: 'unknown_field', message: 'The query has a field that is not known here.' });
  }
  if (errors.length > 0) throw new InvalidFields(errors);
  return { limit: Number(limit), cursor: (cursor as string | undefined)?.toLowerCase() };
}
