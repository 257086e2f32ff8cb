import { ModulesContainer, MetadataScanner } from '@nestjs/core';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { errorCodes } from '#libs/contracts';
import { requirementOf } from '../auth/requires.js';
import { serveDocsPage } from './docs-page.js';
import { refusesIdempotencyKey } from './context.decorator.js';

type Operation = NonNullable<OpenAPIObject['paths'][string]['get']>;
type Paths = OpenAPIObject['paths'];

const METHODS = ['get', 'put', 'post', 'delete', 'patch', 'head'] as const;

const rawPaths = new WeakMap<object, Paths>();

/** Documents routes that are registered on Fastify itself; their schemas may be named by `@ApiExtraModels` anywhere. */
export function documentRawPaths(fastify: FastifyInstance, paths: Paths): void {
  rawPaths.set(fastify, { ...rawPaths.get(fastify), ...paths });
}

const problemSchema = {
  type: 'object',
  description: 'RFC 9457',
  required: ['type', 'title', 'status', 'detail', 'code', 'requestId'],
  properties: {
    type: { type: 'string', format: 'uri-reference' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string', enum: Object.keys(errorCodes) },
    requestId: { type: 'string', format: 'uuid' },
    errors: {
      type: 'array',
      items: {
        type: 'object',
        required: ['location', 'message'],
        properties: { location: { type: 'string' }, message: { type: 'string' } },
      },
    },
  },
};

const parameters = {
  IdempotencyKey: {
    name: 'Idempotency-Key',
    in: 'header',
    required: false,
    description: 'The same key and body answer the same; another body is 422 IDEMPOTENCY_MISMATCH.',
    schema: { type: 'string', minLength: 1, maxLength: 255, pattern: '^[\\x21-\\x7e]+$' },
  },
  IfMatch: {
    name: 'If-Match',
    in: 'header',
    required: false,
    description: 'The ETag that was read; 412 VERSION_CONFLICT if the thing has changed since.',
    schema: { type: 'string' },
  },
  MinPosition: {
    name: 'minPosition',
    in: 'query',
    required: false,
    description: 'A Steward-Position that the answer must show; waits up to 2 s, then 504 PROJECTION_LAG.',
    schema: { type: 'string' },
  },
} as const;

const problem = {
  description: 'A problem document; docs/errors.md lists the codes.',
  content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
};

interface RouteFacts {
  readonly open: boolean;
  readonly refusesKey: boolean;
}

/** The OpenAPI 3.1 document of a running module graph, in an order that depends on nothing but the routes. */
function buildOpenApi(app: NestFastifyApplication): OpenAPIObject {
  const config = new DocumentBuilder()
    .setTitle('Steward')
    .setDescription('API keys, resource quotas and a provable event history for multi-tenant cloud platforms.')
    .setVersion('1')
    .setOpenAPIVersion('3.1.0')
    .addBearerAuth({ type: 'http', scheme: 'bearer', description: 'An OIDC JWT or a Steward key.' }, 'bearer')
    .addApiKey({ type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'A Steward key.' }, 'apiKey')
    .addSecurityRequirements('bearer')
    .addSecurityRequirements('apiKey')
    .build();
  const document = SwaggerModule.createDocument(app, config, { operationIdFactory: operationIdOf });
  const facts = factsOf(app);
  const paths: Paths = { ...document.paths, ...rawPaths.get(app.getHttpAdapter().getInstance()) };
  for (const item of Object.values(paths))
    for (const method of METHODS) {
      const operation = item[method];
      if (operation !== undefined) complete(method, operation, facts.get(operation.operationId ?? ''));
    }
  return {
    ...document,
    paths: sorted(paths),
    components: {
      ...document.components,
      schemas: sorted({ ...document.components?.schemas, Problem: problemSchema as never }),
      parameters,
    },
  };
}

const operationIdOf = (controller: string, method: string): string => {
  const area = controller.replace(/Controller$/, '');
  return `${area.charAt(0).toLowerCase()}${area.slice(1)}${method.charAt(0).toUpperCase()}${method.slice(1)}`;
};

/** What the decorators of each route say that Nest's own scan does not carry over, by operationId. */
function factsOf(app: NestFastifyApplication): Map<string, RouteFacts> {
  const facts = new Map<string, RouteFacts>();
  const scanner = new MetadataScanner();
  for (const module of app.get(ModulesContainer, { strict: false }).values())
    for (const { metatype } of module.controllers.values()) {
      if (typeof metatype !== 'function') continue;
      const prototype = metatype.prototype as Record<string, object>;
      for (const name of scanner.getAllMethodNames(prototype)) {
        const handler = prototype[name];
        if (handler === undefined) continue;
        facts.set(operationIdOf(metatype.name, name), {
          open: requirementOf(handler, metatype) === 'open',
          refusesKey: refusesIdempotencyKey(handler),
        });
      }
    }
  return facts;
}

function complete(method: (typeof METHODS)[number], operation: Operation, facts: RouteFacts | undefined): void {
  operation.responses['default'] ??= problem;
  if (facts?.open === true) {
    operation.security = [];
    return;
  }
  const writes = method !== 'get' && method !== 'head';
  const added = [
    ...(writes && facts?.refusesKey === false ? ['IdempotencyKey'] : []),
    ...(writes && facts !== undefined ? ['IfMatch'] : []),
    ...(writes || facts === undefined ? [] : ['MinPosition']),
  ];
  operation.parameters = [
    ...(operation.parameters ?? []),
    ...added.map((name) => ({ $ref: `#/components/parameters/${name}` })),
  ];
}

const sorted = <T>(record: Record<string, T>): Record<string, T> =>
  Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));

/** `/openapi.json`, its reader at `/docs` and the list of error codes at `/docs/errors`. The document is made when first asked for. */
export function serveOpenApi(app: NestFastifyApplication): void {
  const fastify = app.getHttpAdapter().getInstance();
  let document: OpenAPIObject | undefined;
  const documentOf = (): OpenAPIObject => (document ??= buildOpenApi(app));
  fastify.get('/openapi.json', { config: { quiet: true } }, (_request, reply) => reply.send(documentOf()));
  serveDocsPage(fastify);
}
