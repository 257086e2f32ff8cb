import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { eventTypes, type KeyUsageBatch } from '#libs/contracts';
import { messageOfUsage, readUsageMessage } from '../../services/keys/src/usage/usage-message.js';
import {
  asyncApi,
  dataSchemas,
  eventSchema,
  type Json,
  schemaFile,
  USAGE_SCHEMA_FILE,
  usageSchema,
} from './event-schemas.js';

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

  it('of key usage is the one that is checked in, and a message is as it says', () => {
    const file = new URL(`../../docs/api/telemetry/${USAGE_SCHEMA_FILE}`, import.meta.url);
    const schema = usageSchema();
    if (update) writeFileSync(file, textOf(schema));
    expect(textOf(schema)).toBe(readFileSync(file, 'utf8'));

    const source = '0b5f3c1e-8a53-4e0e-9d5a-0d8c3f1b2a01';
    const keyId = 'key_0000000000000002';
    const counted = { minute: '2026-01-01T12:00:00.000Z', tenantId: 'acme', projectId: 'GOV1', service: 'gateway' };
    const nowhere = { keyId: null, tenantId: null, projectId: null };
    const batch: KeyUsageBatch = {
      v: 1,
      source,
      sequence: 7,
      counts: [
        { ...counted, keyId, code: 'VALID', count: 3 },
        { ...counted, ...nowhere, code: 'NOT_FOUND', count: 1 },
      ],
      lastUses: [{ keyId, version: 1, at: '2026-01-01T12:00:01.000Z' }],
    };
    const { topic, key, headers, value } = messageOfUsage(batch);
    expect(faults(schema, JSON.parse(String(value)))).toEqual([]);
    expect(faults(schema, { ...batch, sequence: '7' })).toEqual(['/sequence is a string']);
    expect(readUsageMessage(value)).toEqual(batch);
    expect({ topic, key, headers }).toEqual({
      topic: 'steward.keys.usage',
      key: source,
      headers: {
        'content-type': 'application/json',
        ce_specversion: '1.0',
        ce_id: `${source}.7`,
        ce_source: '/steward/keys',
        ce_type: 'steward.keys.usage.v1',
        ce_subject: source,
        ce_sequence: '7',
      },
    });
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
