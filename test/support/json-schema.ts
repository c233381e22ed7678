interface Schema {
  $ref?: string;
  type?: 'object' | 'array' | 'string' | 'integer';
  required?: string[];
  properties?: Record<string, Schema>;
  items?: Schema;
  anyOf?: Schema[];
  enum?: unknown[];
  pattern?: string;
  minimum?: number;
  additionalProperties?: false;
}

/** What is wrong with a value, each with its place: as much of JSON Schema (2020-12) as the schema of the vectors uses. */
export function problemsBySchema(value: unknown, root: object): string[] {
  const check = (part: unknown, schema: Schema, place: string): string[] => {
    if (schema.$ref !== undefined) return check(part, resolve(root, schema.$ref), place);
    if (schema.anyOf) {
      const isOne = schema.anyOf.some((one) => check(part, one, place).length === 0);
      return isOne ? [] : [`${place} is none of ${schema.anyOf.length}`];
    }
    if (schema.enum) return schema.enum.includes(part) ? [] : [`${place} is not listed`];
    if (schema.type && typeOf(part) !== schema.type) return [`${place} is not of type ${schema.type}`];
    if (schema.pattern && !new RegExp(schema.pattern, 'u').test(part as string)) return [`${place} is of another form`];
    if (schema.minimum !== undefined && (part as number) < schema.minimum) return [`${place} is too small`];
    const { items, properties, required = [] } = schema;
    if (items) return (part as unknown[]).flatMap((item, i) => check(item, items, `${place}[${i}]`));
    if (!properties) return [];
    const members = part as Record<string, unknown>;
    return [
      ...required.filter((name) => !(name in members)).map((name) => `${place} has no ${name}`),
      ...Object.entries(members).flatMap(([name, member]) => {
        const known = properties[name];
        if (known) return check(member, known, `${place}.${name}`);
        return schema.additionalProperties === false ? [`${place} has ${name}`] : [];
      }),
    ];
  };
  return check(value, root, '$');
}

function resolve(root: object, pointer: string): Schema {
  const names = pointer.split('/').slice(1);
  return names.reduce((part, name) => (part as Record<string, object>)[name] as object, root);
}

function typeOf(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  return Number.isInteger(value) ? 'integer' : typeof value;
}
