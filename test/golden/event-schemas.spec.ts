import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { eventTypes } from '#libs/contracts';
import { asyncApi, dataSchemas, eventSchema, type Json, schemaFile } from './event-schemas.js';

/** `UPDATE_GOLDEN=1` writes the files anew; consumers have them, so within a version fields may only be added. */
const update = process.env['UPDATE_GOLDEN'] === '1';
const folder = new URL('../../docs/api/events/', import.meta.url);
const asyncApiFile = new URL('../../docs/api/asyncapi.json', import.meta.url);
const textOf = (document: Json): string => `${JSON.stringify(document, null, 2)}\n`;

/** What an instance lacks of a schema, by the few keywords that ours have. */
function faults(schema: Json, value: unknown, path = ''): string[] {
  const { const: constant, enum: values, anyOf, type, required = [], properties = {}, items, pattern } = schema;
  const kinds = type === undefined ? undefined : [type].flat();
  const kind =
    value === null ? 'null' : Array.isArray(value) ? 'array' : Number.isInteger(value) ? 'integer' : typeof value;
  const own: (string | false)[] = [
    'const' in schema && constant !== value && `${path} is not ${String(constant)}`,
    Array.isArray(values) && !values.includes(value) && `${path} is none of ${values.join()}`,
    Array.isArray(anyOf) &&
      !anyOf.some((one) => faults(one as Json, value).length === 0) &&
      `${path} is none of its kinds`,
    kinds !== undefined && !kinds.includes(kind) && `${path} is a ${kind}`,
    typeof pattern === 'string' && !new RegExp(pattern).test(String(value)) && `${path} has another form`,
  ];
  const found = own.filter((fault) => fault !== false);
  if (kind === 'array' && items !== undefined)
    return [...found, ...(value as unknown[]).flatMap((one, n) => faults(items as Json, one, `${path}/${n}`))];
  if (kind !== 'object') return found;
  const fields = value as Json;
  const known = properties as Record<string, Json>;
  const rest = schema['additionalProperties'] as Json | undefined;
  return [
    ...found,
    ...(required as string[]).filter((name) => !(name in fields)).map((name) => `${path}/${name} is absent`),
    ...Object.entries(fields).flatMap(([name, one]) => faults(known[name] ?? rest ?? {}, one, `${path}/${name}`)),
  ];
}

describe('the schemas of events', () => {
  const data = dataSchemas();
  const types = Object.keys(eventTypes) as (keyof typeof eventTypes)[];
  const schemaOf = (type: keyof typeof eventTypes): Json => eventSchema(type, data.get(type) ?? {});

  it('of every type are those that are checked in, made from the types of the contracts', () => {
    expect([...data.keys()].sort()).toEqual([...types].sort());
    if (update) {
      mkdirSync(folder, { recursive: true });
      for (const type of types) writeFileSync(new URL(schemaFile(type), folder), textOf(schemaOf(type)));
    }
    for (const type of types)
      expect(textOf(schemaOf(type))).toBe(readFileSync(new URL(schemaFile(type), folder), 'utf8'));
    expect(readdirSync(folder).sort()).toEqual(types.map(schemaFile).sort());
  });

  it('the AsyncAPI document is the one that is checked in', () => {
    if (update) writeFileSync(asyncApiFile, textOf(asyncApi()));
    expect(textOf(asyncApi())).toBe(readFileSync(asyncApiFile, 'utf8'));
  });

  it('every golden event is as its schema says, and one that lacks a field is not', () => {
    const lines = readFileSync(new URL('./events.jsonl', import.meta.url), 'utf8')
      .trimEnd()
      .split('\n');
    for (const line of lines) {
      const envelope = JSON.parse((JSON.parse(line) as { envelope: string }).envelope) as Json;
      const schema = schemaOf(envelope['type'] as keyof typeof eventTypes);
      expect(faults(schema, envelope)).toEqual([]);
      expect(faults(schema, { ...envelope, revision: '1' })).toEqual(['/revision is a string']);
      expect(faults(schema, { ...envelope, data: undefined })).not.toEqual([]);
    }
  });
});
