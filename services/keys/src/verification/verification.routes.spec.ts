import { APP_FILTER } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { pino } from 'pino';
import {
  AuthThrottle,
  Gatekeeper,
  LOGGER,
  parseStrictJson,
  ProblemFilter,
  RequestContexts,
  Targets,
} from '#libs/platform';
import { KeyVerifier } from './key-verifier.js';
import { VerificationWorld } from './testing/verification-world.js';
import { VerificationRoutes } from './verification.routes.js';

interface Reply {
  readonly status: number;
  readonly type: string;
  readonly body: Record<string, unknown>;
}

describe('verification over HTTP', () => {
  let world: VerificationWorld;
  let app: NestFastifyApplication;
  let caller: string;
  beforeAll(async () => {
    world = await VerificationWorld.start();
    const { token } = await world.key({ owner: { type: 'service', id: 'gateway', role: 'service' } });
    caller = token;
    const { index, access, verifier, resolver, follower, config, contexts } = world;
    const targets = new Targets(access, index);
    const nobody = { authenticate: () => Promise.resolve(undefined) };
    const gatekeeper = new Gatekeeper(verifier, resolver, targets, new AuthThrottle(config), follower, config, nobody);
    const module = await Test.createTestingModule({
      providers: [
        VerificationRoutes,
        { provide: KeyVerifier, useValue: verifier },
        { provide: Gatekeeper, useValue: gatekeeper },
        { provide: RequestContexts, useValue: contexts },
        { provide: LOGGER, useValue: pino({ level: 'silent' }) },
        { provide: APP_FILTER, useClass: ProblemFilter },
      ],
    }).compile();
    const adapter = new FastifyAdapter();
    const fastify = adapter.getInstance();
    fastify.removeAllContentTypeParsers();
    fastify.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
      done(null, parseStrictJson(body as Buffer));
    });
    app = module.createNestApplication<NestFastifyApplication>(adapter, { bodyParser: false, logger: false });
    await app.init();
    await fastify.ready();
  });
  afterAll(async () => {
    await app.close();
    await world.close();
  });

  async function post(path: string, body: object | undefined, headers: Record<string, string> = {}): Promise<Reply> {
    const reply = await app.inject({
      method: 'POST',
      url: path,
      headers: { authorization: `Bearer ${caller}`, ...headers },
      ...(body === undefined ? {} : { payload: body }),
    });
    return {
      status: reply.statusCode,
      type: String(reply.headers['content-type']),
      body: reply.json<Record<string, unknown>>(),
    };
  }

  it('answers 200 for every decision', async () => {
    const { keyId, token } = await world.key();
    const valid = await post('/v1/keys/verify', { token });
    expect(valid).toMatchObject({
      status: 200,
      type: 'application/json; charset=utf-8',
      body: { valid: true, code: 'VALID', keyId },
    });
    expect(await post('/v1/keys/verify', { token: 'stw_x' })).toMatchObject({
      status: 200,
      body: { code: 'MALFORMED' },
    });
  });

  it('answers a batch in its order', async () => {
    const { keyId, token } = await world.key();
    const { status, body } = await post('/v1/keys/verify-batch', {
      requests: [{ token }, { token: 'stw_x' }, { token, environment: 'test' }],
    });
    expect(status).toBe(200);
    expect(body['results']).toMatchObject([
      { code: 'VALID', keyId },
      { code: 'MALFORMED' },
      { code: 'WRONG_ENVIRONMENT', keyId },
    ]);
  });

  it('takes the key in X-API-Key as well', async () => {
    const { token } = await world.key();
    const { body } = await post('/v1/keys/verify', { token }, { authorization: '', 'x-api-key': caller });
    expect(body).toMatchObject({ code: 'VALID' });
  });

  it('answers 401 to a caller without a valid credential, as a problem document', async () => {
    const { token } = await world.key();
    for (const authorization of ['', 'Bearer stw_x', 'Basic eDp5']) {
      const reply = await post('/v1/keys/verify', { token }, { authorization });
      expect(reply).toMatchObject({ status: 401, body: { code: 'UNAUTHENTICATED', status: 401 } });
      expect(reply.type).toContain('application/problem+json');
    }
  });

  it('answers 403 to a key that was not given the scope of verifying', async () => {
    const weak = await world.key({
      owner: { type: 'service', id: 'gateway', role: 'service' },
      scopes: ['steward:quotas:read'],
    });
    const reply = await post('/v1/keys/verify', { token: caller }, { authorization: `Bearer ${weak.token}` });
    expect(reply).toMatchObject({ status: 403, body: { code: 'FORBIDDEN' } });
  });

  it('answers 400 with the name of the field, and never the token', async () => {
    const { token } = await world.key();
    const reply = await post('/v1/keys/verify', { token, scopes: 'a' });
    expect(reply).toMatchObject({ status: 400, body: { code: 'VALIDATION', errors: [{ location: 'body.scopes' }] } });
    expect(JSON.stringify(reply.body)).not.toContain(token);
    expect(await post('/v1/keys/verify', undefined)).toMatchObject({
      status: 400,
      body: { errors: [{ location: 'body.token' }] },
    });
  });

  it('answers 400 POSITION_UNKNOWN for a position of another form, in the body or the header', async () => {
    const { token } = await world.key();
    const inBody = await post('/v1/keys/verify', { token, minPosition: 'x' });
    const inHeader = await post('/v1/keys/verify', { token }, { 'steward-position': 'x' });
    for (const reply of [inBody, inHeader])
      expect(reply).toMatchObject({ status: 400, body: { code: 'POSITION_UNKNOWN' } });
  });

  it('goes on answering while the store is away, first from memory and then STALE', async () => {
    const { token } = await world.key();
    world.store.down = true;
    try {
      expect(await post('/v1/keys/verify', { token })).toMatchObject({ status: 200, body: { code: 'VALID' } });
      world.leapMs = 60_000;
      expect(await post('/v1/keys/verify', { token })).toMatchObject({ status: 200, body: { code: 'STALE' } });
    } finally {
      world.store.down = false;
    }
    expect(await post('/v1/keys/verify', { token })).toMatchObject({ status: 200, body: { code: 'VALID' } });
  });

  it('publishes the pattern of a token to everybody, and it matches one', async () => {
    const reply = await app.inject({ method: 'GET', url: '/.well-known/steward-keys' });
    expect(reply.statusCode).toBe(200);
    const { token } = await world.key();
    expect(token).toMatch(new RegExp(reply.json<{ pattern: string }>().pattern));
  });
});
