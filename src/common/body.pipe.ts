import { ValidationPipe, type ArgumentMetadata, type ValidationError } from '@nestjs/common';
import { InvalidFields, MalformedRequest, UnsupportedMediaType, type FieldError } from './domain-error.js';
import { validatorPackage } from './validation.js';

const UNKNOWN_FIELD = { code: 'unknown_field', message: 'The body has a field that is not known here.' };

/** class-validator's constraint names → our codes. */
const CODES: Record<string, Pick<FieldError, 'code' | 'message'>> = {
  isDefined: { code: 'required', message: 'Is missing.' },
  isString: { code: 'wrong_type', message: 'Must be a string.' },
  whitelistValidation: UNKNOWN_FIELD,
};

/** Marks a DTO whose route also works without a body. */
export const OPTIONAL_BODY = Symbol('optional body');

/**
 * Holds every body to its DTO: an unknown field, a missing one or one of another type is a 422 with an entry per field.
 * No implicit conversion: with it `{"password":{}}` would become the accepted string "[object Object]" (ASVS 15.3.3).
 *
 * A route that takes a body gets `undefined` here when the request has none and no content type (415), and `null` when
 * it announces JSON and sends nothing (400).
 */
export class BodyPipe extends ValidationPipe {
  constructor() {
    super({
      validatorPackage,
      transform: true,
      whitelist: true,
      forbidNonWhitelisted: true,
      forbidUnknownValues: false, // NoBody has no fields to know; `whitelist` refuses all the same
      stopAtFirstError: true,
      validationError: { target: false, value: false },
      exceptionFactory: (errors) => new InvalidFields(toFieldErrors(errors)),
    });
  }

  override async transform(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    if (metadata.type !== 'body') return value;
    if (value === undefined || value === null) {
      if (!metadata.metatype || !(OPTIONAL_BODY in metadata.metatype)) {
        throw value === undefined
          ? new UnsupportedMediaType('application/json')
          : new MalformedRequest('malformed_body', 'The body is empty; a JSON object is due.', { detail: 'empty' });
      }
      value = {};
    }
    return super.transform(flat(value as object), metadata);
  }
}

/**
 * Every body of ours is flat. class-transformer would follow a nested value down until the stack ends, and lets names
 * pass that every object has (`toString`); so neither reaches it.
 */
function flat(value: object): object {
  if (Object.keys(value).some((name) => name in Object.prototype)) {
    throw new InvalidFields([{ field: 'body', ...UNKNOWN_FIELD }]);
  }
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [
      name,
      typeof field === 'object' && field !== null ? [] : (field as unknown),
    ]),
  );
}

function toFieldErrors(errors: ValidationError[]): FieldError[] {
  const found = new Map<string, FieldError>();
  for (const { property, constraints = {} } of errors) {
    const constraint = 'isDefined' in constraints ? 'isDefined' : (Object.keys(constraints)[0] ?? 'invalid');
    // The name of a field that we do not know is the client's text, and is not repeated to it.
    const field = constraint === 'whitelistValidation' ? 'body' : property;
    found.set(field, { field, ...(CODES[constraint] ?? { code: constraint, message: 'Refused.' }) });
  }
  return [...found.values()];
}
