import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { eventTypes, KEY_USAGE_TOPIC } from '#libs/contracts';
import { topicOf } from '#libs/kafka';

/** A JSON Schema, or a document that holds some. */
export type Json = { [field: string]: unknown };

const contractsFile = (name: string): string =>
  fileURLToPath(new URL(`../../libs/contracts/src/${name}.ts`, import.meta.url));
const DRAFT = 'https://json-schema.org/draft/2020-12/schema';
const TEXT = { type: 'string' };
const TEXT_OR_NULL = { type: ['string', 'null'] };
const HASH = { type: 'string', pattern: '^[0-9a-f]{64}$' };

/** Turns the types of the contracts into schemas. Objects stay open, for fields may be added within a version. */
class SchemaWriter {
  constructor(private readonly checker: ts.TypeChecker) {}

  schemaOf(type: ts.Type): Json {
    // Metadata may be any JSON, and its type names itself.
    if (type.aliasSymbol?.name === 'JsonValue') return {};
    if (type.isUnion()) return this.unionOf(type);
    if (type.isStringLiteral() || type.isNumberLiteral()) return { const: type.value };
    if ((type.flags & ts.TypeFlags.BooleanLiteral) !== 0) return { const: this.checker.typeToString(type) === 'true' };
    if ((type.flags & ts.TypeFlags.String) !== 0) return TEXT;
    // All numbers of events are integers.
    if ((type.flags & ts.TypeFlags.Number) !== 0) return { type: 'integer' };
    if ((type.flags & ts.TypeFlags.Null) !== 0) return { type: 'null' };
    if (this.checker.isArrayType(type)) {
      const [item] = this.checker.getTypeArguments(type as ts.TypeReference);
      if (item !== undefined) return { type: 'array', items: this.schemaOf(item) };
    }
    const values = type.getStringIndexType();
    if (values !== undefined && (values.flags & ts.TypeFlags.Never) === 0)
      return { type: 'object', additionalProperties: this.schemaOf(values) };
    if ((type.flags & (ts.TypeFlags.Object | ts.TypeFlags.Intersection)) !== 0) return this.objectOf(type);
    throw new TypeError(`No schema says ${this.checker.typeToString(type)}.`);
  }

  propertiesOf(type: ts.Type): Map<string, { readonly type: ts.Type; readonly isOptional: boolean }> {
    return new Map(
      type.getProperties().map((property) => [
        property.name,
        {
          type: this.checker.getTypeOfSymbol(property),
          isOptional: (property.flags & ts.SymbolFlags.Optional) !== 0,
        },
      ]),
    );
  }

  private unionOf(type: ts.UnionType): Json {
    const members = type.types.filter((one) => (one.flags & ts.TypeFlags.Undefined) === 0);
    const schemas = members.map((one) => this.schemaOf(one));
    const constants = schemas.flatMap((schema) => ('const' in schema ? [schema['const']] : []));
    const others = schemas.filter((schema) => !('const' in schema));
    const isBoolean = constants.includes(true) && constants.includes(false);
    const all = [
      ...others,
      ...(isBoolean ? [{ type: 'boolean' }] : constants.length > 0 ? [{ enum: constants.sort() }] : []),
    ].sort((one, other) => JSON.stringify(one).localeCompare(JSON.stringify(other), 'en'));
    return all.length === 1 ? (all[0] as Json) : { anyOf: all };
  }

  private objectOf(type: ts.Type): Json {
    const properties = this.propertiesOf(type);
    const required = [...properties].filter(([, { isOptional }]) => !isOptional).map(([name]) => name);
    return {
      type: 'object',
      ...(required.length > 0 ? { required } : {}),
      ...(properties.size > 0
        ? { properties: Object.fromEntries([...properties].map(([name, one]) => [name, this.schemaOf(one.type)])) }
        : {}),
    };
  }
}

/** An exported type of a file of the contracts. */
function contractType(file: string, name: string): { readonly type: ts.Type; readonly writer: SchemaWriter } {
  const path = contractsFile(file);
  const program = ts.createProgram([path], {
    strict: true,
    exactOptionalPropertyTypes: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: [],
  });
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(path);
  const module = source === undefined ? undefined : checker.getSymbolAtLocation(source);
  const symbol = module?.exports?.get(ts.escapeLeadingUnderscores(name));
  if (symbol === undefined) throw new Error(`The contracts have no ${name}.`);
  return { type: checker.getDeclaredTypeOfSymbol(symbol), writer: new SchemaWriter(checker) };
}

/** The schema of each event's data, by its type, from the contracts' own types. */
export function dataSchemas(): Map<string, Json> {
  const { type: events, writer } = contractType('event-types', 'StewardEvent');
  const schemas = new Map<string, Json>();
  for (const event of events.isUnion() ? events.types : []) {
    const properties = writer.propertiesOf(event);
    const [type, data] = [properties.get('type')?.type, properties.get('data')?.type];
    if (type?.isStringLiteral() === true && data !== undefined) schemas.set(type.value, writer.schemaOf(data));
  }
  return schemas;
}

/** The whole value of a message: the envelope of events.md with the event's own data. */
export function eventSchema(type: keyof typeof eventTypes, data: Json): Json {
  const { schemaVersion } = eventTypes[type];
  const properties = {
    v: { const: 1 },
    id: { type: 'string', format: 'uuid' },
    stream: TEXT,
    revision: { type: 'integer', minimum: 1 },
    type: { const: type },
    schemaVersion: { const: schemaVersion },
    tenantId: TEXT_OR_NULL,
    projectId: TEXT_OR_NULL,
    actor: {
      type: 'object',
      required: ['type', 'id', 'via'],
      properties: {
        type: { enum: ['project', 'service', 'system', 'user'] },
        id: TEXT,
        via: TEXT,
        onBehalfOf: TEXT,
      },
    },
    commandId: { type: 'string', format: 'uuid' },
    correlationId: { type: 'string', format: 'uuid' },
    causationId: TEXT_OR_NULL,
    requestHash: { anyOf: [HASH, { type: 'null' }] },
    recordedAt: { type: 'string', format: 'date-time' },
    data,
    private: {
      type: 'object',
      additionalProperties: { type: 'object', required: ['key', 'hash'], properties: { key: TEXT, hash: HASH } },
    },
    prev: { anyOf: [HASH, { type: 'null' }] },
  };
  return {
    $schema: DRAFT,
    $id: `urn:steward:event:${type}:v${schemaVersion}`,
    title: type,
    type: 'object',
    required: Object.keys(properties),
    properties,
  };
}

export const USAGE_SCHEMA_FILE = 'KeyUsageBatch.v1.json';

/** The whole value of a message of key usage. */
export function usageSchema(): Json {
  const { type, writer } = contractType('key-usage', 'KeyUsageBatch');
  return {
    $schema: DRAFT,
    $id: 'urn:steward:telemetry:KeyUsageBatch:v1',
    title: 'KeyUsageBatch',
    ...writer.schemaOf(type),
  };
}

export const schemaFile = (type: keyof typeof eventTypes): string => `${type}.v${eventTypes[type].schemaVersion}.json`;

const HEADERS = {
  type: 'object',
  required: [
    ...['content-type', 'ce_specversion', 'ce_id', 'ce_source', 'ce_type', 'ce_subject', 'ce_time', 'ce_sequence'],
    ...['ce_position', 'ce_correlationid'],
  ],
  properties: {
    'content-type': { const: 'application/json' },
    ce_specversion: { const: '1.0' },
    ce_id: { type: 'string', format: 'uuid' },
    ce_source: TEXT,
    ce_type: TEXT,
    ce_subject: { ...TEXT, description: 'The stream, which is the key of the message too.' },
    ce_time: { type: 'string', format: 'date-time' },
    ce_sequence: {
      ...TEXT,
      description: 'The revision within the stream, from 1. Drop what is not above the highest you have of the stream.',
    },
    ce_position: { ...TEXT, description: 'Sorts as text in the order of the log.' },
    ce_tenantid: TEXT,
    ce_correlationid: TEXT,
    ce_causationid: TEXT,
    traceparent: TEXT,
  },
};

const USAGE_HEADERS = {
  type: 'object',
  required: ['content-type', 'ce_specversion', 'ce_id', 'ce_source', 'ce_type', 'ce_subject', 'ce_sequence'],
  properties: {
    'content-type': { const: 'application/json' },
    ce_specversion: { const: '1.0' },
    ce_id: TEXT,
    ce_source: { const: '/steward/keys' },
    ce_type: { const: 'steward.keys.usage.v1' },
    ce_subject: { ...TEXT, description: 'The source, which is the key of the message too.' },
    ce_sequence: {
      ...TEXT,
      description: 'Of the batch within its source, from 1. Drop what is not above the highest you have of the source.',
    },
  },
};

const usageChannel = {
  address: KEY_USAGE_TOPIC,
  description: 'Telemetry and no events: what verifiers count, once a second. A crash loses at most that second.',
  messages: { KeyUsageBatch: { $ref: '#/components/messages/KeyUsageBatch' } },
  bindings: { kafka: { topic: KEY_USAGE_TOPIC, bindingVersion: '0.5.0' } },
};

const usageMessage = {
  name: 'steward.keys.usage.v1',
  contentType: 'application/json',
  headers: USAGE_HEADERS,
  payload: {
    schemaFormat: 'application/schema+json;version=draft-2020-12',
    schema: { $ref: `./telemetry/${USAGE_SCHEMA_FILE}` },
  },
  bindings: { kafka: { key: { ...TEXT, description: 'The source.' }, bindingVersion: '0.5.0' } },
};

/** What Steward sends, as AsyncAPI 3. */
export function asyncApi(): Json {
  const types = Object.keys(eventTypes) as (keyof typeof eventTypes)[];
  const contexts = [...new Set(types.map((type) => eventTypes[type].context))].sort();
  const typesOf = (context: string): typeof types => types.filter((type) => eventTypes[type].context === context);
  const messages = types.map((type) => {
    const { context, schemaVersion } = eventTypes[type];
    const message = {
      name: `steward.${context}.${type}.v${schemaVersion}`,
      contentType: 'application/json',
      traits: [{ $ref: '#/components/messageTraits/cloudEvent' }],
      payload: {
        schemaFormat: 'application/schema+json;version=draft-2020-12',
        schema: { $ref: `./events/${schemaFile(type)}` },
      },
    };
    return [type, message] as const;
  });
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Steward events',
      version: '1',
      description: 'Delivered at least once, in order per stream. The envelope to the byte: docs/events.md.',
      license: { name: 'Apache-2.0' },
    },
    channels: {
      ...Object.fromEntries(
        contexts.map((context) => [
          context,
          {
            address: topicOf(context),
            messages: Object.fromEntries(
              typesOf(context).map((type) => [type, { $ref: `#/components/messages/${type}` }]),
            ),
            bindings: { kafka: { topic: topicOf(context), bindingVersion: '0.5.0' } },
          },
        ]),
      ),
      'keys-usage': usageChannel,
    },
    operations: Object.fromEntries(
      [...contexts, 'keys-usage'].map((channel) => [
        `publish-${channel}`,
        { action: 'send', channel: { $ref: `#/channels/${channel}` } },
      ]),
    ),
    components: {
      messages: { ...Object.fromEntries(messages), KeyUsageBatch: usageMessage },
      messageTraits: {
        cloudEvent: {
          headers: HEADERS,
          bindings: { kafka: { key: { ...TEXT, description: 'The stream.' }, bindingVersion: '0.5.0' } },
        },
      },
    },
  };
}
