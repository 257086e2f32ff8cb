import type { OpenAPIObject } from '@nestjs/swagger';
import { TOKEN_BYTES_MAX } from '../key-secret.js';
import { BATCH_REQUESTS_MAX, SCOPES_MAX, STALENESS_MS_MAX, TAGS_MAX } from './verify-request.js';

type Paths = OpenAPIObject['paths'];
type Schema = Extract<NonNullable<NonNullable<OpenAPIObject['components']>['schemas']>[string], { type?: unknown }>;

const text = (more: Schema = {}): Schema => ({ type: 'string', ...more });
const nullableText = (more: Schema = {}): Schema => ({ type: ['string', 'null'] as never, ...more });
const list = (items: Schema, maxItems: number): Schema => ({ type: 'array', items, maxItems });

const request: Schema = {
  type: 'object',
  required: ['token'],
  additionalProperties: false,
  properties: {
    token: text({ minLength: 1, maxLength: TOKEN_BYTES_MAX, description: 'The whole token; at most 512 bytes.' }),
    clientIp: text({ description: 'Of the bearer. A key with a list of addresses is refused without it.' }),
    environment: text({ pattern: '^[a-z0-9]{1,8}$' }),
    audience: text({ description: 'The service that asks. A key with audiences is refused without it.' }),
    scopes: { ...list(text({ maxLength: 256 }), SCOPES_MAX), description: 'All of them are required.' },
    tags: { ...list(text({ maxLength: 128 }), TAGS_MAX), description: 'For usage telemetry.' },
    consume: { type: 'array', maxItems: 0, items: {}, description: 'Kept for a later version; must be empty.' },
    minPosition: text({ description: 'The decision must have seen this position; waits up to 2 s, then 504.' }),
    maxStalenessMs: { type: 'integer', minimum: 1, maximum: STALENESS_MS_MAX },
  },
};

const answer: Schema = {
  type: 'object',
  required: ['valid', 'code', 'asOf'],
  description: 'MALFORMED, NOT_FOUND and STALE tell nothing but themselves; every other code tells of the key.',
  properties: {
    valid: { type: 'boolean' },
    code: text({
      enum: [
        'VALID',
        'MALFORMED',
        'NOT_FOUND',
        'REVOKED',
        'EXPIRED',
        'DISABLED',
        'NOT_YET_VALID',
        'OWNER_INACTIVE',
        'TENANT_SUSPENDED',
        'WRONG_ENVIRONMENT',
        'WRONG_AUDIENCE',
        'IP_NOT_ALLOWED',
        'INSUFFICIENT_SCOPE',
        'POLICY_VIOLATION',
        'STALE',
      ],
    }),
    keyId: text(),
    tenantId: nullableText(),
    projectId: nullableText(),
    owner: {
      type: 'object',
      required: ['type', 'id', 'role'],
      properties: { type: text({ enum: ['user', 'service', 'project'] }), id: text(), role: text() },
    },
    environment: text(),
    scopes: {
      type: ['array', 'null'] as never,
      items: text(),
      description: 'What the key may do now; null is all of its owner’s.',
    },
    labels: { type: 'object', additionalProperties: text() },
    metadata: { type: 'object', additionalProperties: true },
    expiresAt: nullableText({ format: 'date-time' }),
    secretVersion: { type: 'integer' },
    rotation: {
      type: 'object',
      required: ['superseded', 'retiresAt'],
      properties: { superseded: { type: 'boolean' }, retiresAt: nullableText({ format: 'date-time' }) },
    },
    missing: { type: 'array', items: text(), description: 'With INSUFFICIENT_SCOPE: what the key lacks.' },
    asOf: {
      type: 'object',
      required: ['position', 'stalenessMs'],
      properties: { position: text(), stalenessMs: { type: ['integer', 'null'] as never } },
    },
  },
};

const json = (schema: Schema) => ({ content: { 'application/json': { schema } } });

/** The routes that stand on Fastify itself and that no decorator describes. */
export const verificationPaths: Paths = {
  '/v1/keys/verify': {
    post: {
      operationId: 'verifyKey',
      tags: ['verification'],
      summary: 'Decide on a token. 200 for every decision.',
      requestBody: { required: true, ...json(request) },
      responses: { '200': { description: 'The decision.', ...json(answer) } },
    },
  },
  '/v1/keys/verify-batch': {
    post: {
      operationId: 'verifyKeys',
      tags: ['verification'],
      summary: 'Decide on up to 100 tokens; results stand in the order of the requests.',
      requestBody: {
        required: true,
        ...json({
          type: 'object',
          required: ['requests'],
          additionalProperties: false,
          properties: { requests: { ...list(request, BATCH_REQUESTS_MAX), minItems: 1 } },
        }),
      },
      responses: {
        '200': {
          description: 'The decisions.',
          ...json({ type: 'object', required: ['results'], properties: { results: { type: 'array', items: answer } } }),
        },
      },
    },
  },
  '/.well-known/steward-keys': {
    get: {
      operationId: 'keyPattern',
      tags: ['verification'],
      summary: 'The form of a token and the rule of its checksum, for secret scanners.',
      security: [],
      responses: { '200': { description: 'The pattern.', ...json({ type: 'object' }) } },
    },
  },
};
