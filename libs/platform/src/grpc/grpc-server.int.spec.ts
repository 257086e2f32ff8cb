import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Client,
  credentials,
  loadPackageDefinition,
  Metadata,
  type ServiceError,
  status as rpcCode,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { protoPath as healthProto } from 'grpc-health-check';
import type { ErrorCode } from '#libs/contracts';
import { commandIdOf, jcs, Refusal, requestHashOf } from '#libs/eventsourcing';
import { metadataOf, type Settled, settled, type UnaryCall } from '../../../testing/src/grpc-client.js';
import { Access } from '../auth/access.js';
import { IdField, IntegerField } from '../fields/fields.js';
import type { AdmissionRequest, Gatekeeper } from '../auth/gatekeeper.js';
import { principal } from '../http/testing/thing-app.js';
import { createLogger } from '../telemetry/logger.js';
import { Metrics } from '../telemetry/metrics.js';
import { readFields } from '../fields/read-fields.js';
import type { RequestContext } from '../requests/request-context.js';
import { PositionGate, RequestContexts } from '../requests/request-contexts.js';
import { addressOfPeer, callerAddress } from './grpc-call.js';
import { rawServerStream, rawUnary, unary } from './grpc-methods.js';
import { GrpcServer } from './grpc-server.js';

const proto = `
syntax = "proto3";
package steward.test;
service EchoService {
  rpc Extend(ExtendRequest) returns (ExtendAnswer);
  rpc Echo(ExtendRequest) returns (ExtendRequest);
  rpc Follow(ExtendRequest) returns (stream ExtendRequest);
}
message ExtendRequest { string key_id = 1; optional int32 days = 2; string text = 3; }
message ExtendAnswer { string command_id = 1; string request_hash = 2; string ip = 3; int64 revision = 4; }
`;

class ExtendRequest {
  @IdField()
  keyId!: string;
  @IntegerField({ min: 1, max: 3650, optional: true })
  days?: number;
}

class NoPositions extends PositionGate {
  isPosition(text: string): boolean {
    return /^\d{20}$/.test(text);
  }

  checkPosition(): Promise<void> {
    return Promise.resolve();
  }
}

const installationKey = Buffer.alloc(32, 3);
const folder = mkdtempSync(join(tmpdir(), 'steward-grpc-'));
const protoFile = join(folder, 'echo.proto');
writeFileSync(protoFile, proto);

const asked: AdmissionRequest[] = [];
const gatekeeper = {
  async admit(request: AdmissionRequest) {
    asked.push(request);
    if (request.token !== 'good') throw new Refusal('UNAUTHENTICATED', 'The credential is missing or not valid.');
    await request.minPosition?.();
    return { principal, access: Access.grantedByGuard(principal, []), target: { tenantId: 't1', projectId: null } };
  },
} as unknown as Gatekeeper;

const contexts = new RequestContexts(installationKey, new NoPositions());
const logger = createLogger({ level: 'silent' });
const server = new GrpcServer(
  gatekeeper,
  contexts,
  new Metrics(),
  installationKey,
  { trustedProxies: ['127.0.0.1/32'], tls: undefined },
  logger,
);
const seen: RequestContext[] = [];
let client: Client;
let port: number;

beforeAll(async () => {
  server.addService(protoFile, 'steward.test.EchoService', {
    extend: unary('keys:update', 'key', (request, context) => {
      seen.push(context);
      const { text, ...fields } = request as { text?: string };
      if (text === 'busy') throw new Refusal('OVERLOADED', 'Too busy.', { retryAfterSeconds: 3 });
      if (text === 'broken') throw new Error('hunter2');
      readFields(ExtendRequest, fields, 'request');
      context.answered({ revision: 4, position: '00000000000000000009' });
      const { commandId, requestHash } = context.command();
      return { commandId, requestHash: requestHash ?? '', ip: context.ip, revision: 9_007_199_254_740_991 };
    }),
    echo: rawUnary((call, callback) => {
      callback(null, call.request);
    }),
    follow: rawServerStream((call) => {
      call.write(call.request);
      call.end();
    }),
  });
  port = await server.listen(0, '127.0.0.1');
  const echo = loadPackageDefinition(loadSync(protoFile, { keepCase: false })) as unknown as {
    steward: { test: { EchoService: new (address: string, of: unknown) => Client } };
  };
  client = new echo.steward.test.EchoService(`127.0.0.1:${port}`, credentials.createInsecure());
});

afterAll(async () => {
  client.close();
  await server.drain(1_000);
  rmSync(folder, { recursive: true });
});

function call(method: 'extend' | 'echo', request: object, headers: Record<string, string> = {}): Promise<Settled> {
  // grpc-js puts the methods on the client by name, and no type tells which.
  const made = (client as unknown as Record<typeof method, UnaryCall>)[method];
  const metadata = metadataOf({ 'x-api-key': 'good', ...headers });
  return settled((done) => made.call(client, request, metadata, { deadline: Date.now() + 5_000 }, done));
}

function expectProblem({ error, trailers }: Settled, code: number, reason: ErrorCode, ...texts: string[]): void {
  expect(error?.code).toBe(code);
  const [details] = trailers.get('grpc-status-details-bin') as Buffer[];
  for (const text of [reason, 'steward', 'type.googleapis.com/google.rpc.ErrorInfo', ...texts])
    expect(details?.toString('latin1')).toContain(text);
}

describe('the gRPC server', () => {
  it('runs a method with the context that HTTP has, and tells ETag and position in the trailers', async () => {
    const { error, answer, trailers } = await call(
      'extend',
      { keyId: 'key_1', days: 30 },
      {
        'idempotency-key': 'k1',
        'if-match': '"3"',
        'x-forwarded-for': '6.6.6.6, 10.1.2.3',
        'steward-position': '0'.repeat(20),
      },
    );
    expect(error).toBeNull();
    const path = '/steward.test.EchoService/Extend';
    expect(answer).toMatchObject({
      commandId: commandIdOf(['grpc', 't1', 'u1', path, jcs({ keyId: 'key_1' }), 'k1']),
      requestHash: requestHashOf(installationKey, 'POST', path, { keyId: 'key_1', days: 30 }),
      ip: '10.1.2.3',
    });
    expect(trailers.get('etag')).toEqual(['"4"']);
    expect(trailers.get('steward-position')).toEqual(['00000000000000000009']);
    expect(trailers.get('steward-request-id')[0]).toMatch(/^[0-9a-f-]{36}$/);
    expect(seen.at(-1)).toMatchObject({ ifMatch: 3, minPosition: '0'.repeat(20) });
    const leftMs = (seen.at(-1)?.deadlineMs ?? 0) - performance.now();
    expect([leftMs > 0, leftMs <= 5_000]).toEqual([true, true]);
    expect(asked.at(-1)).toMatchObject({
      params: { keyId: 'key_1' },
      requires: { action: 'keys:update', target: 'key' },
    });
  });

  it('tells every refusal with its code, its fields and when to try again', async () => {
    expectProblem(await call('extend', {}, { 'x-api-key': 'bad' }), rpcCode.UNAUTHENTICATED, 'UNAUTHENTICATED');
    expectProblem(
      await call('extend', { keyId: 'a b', days: 0 }),
      rpcCode.INVALID_ARGUMENT,
      'VALIDATION',
      'google.rpc.BadRequest',
      'keyId',
      'days',
    );
    expectProblem(await call('extend', { text: 'busy' }), rpcCode.UNAVAILABLE, 'OVERLOADED', 'google.rpc.RetryInfo');
    expectProblem(await call('extend', {}, { 'if-match': '3' }), rpcCode.INVALID_ARGUMENT, 'VALIDATION', 'If-Match');
    expectProblem(await call('extend', {}, { 'steward-position': 'x' }), rpcCode.INVALID_ARGUMENT, 'POSITION_UNKNOWN');
    const broken = await call('extend', { text: 'broken' });
    expectProblem(broken, rpcCode.INTERNAL, 'INTERNAL');
    expect(JSON.stringify(broken)).not.toContain('hunter2');
  });

  it('refuses what is no message of the method, and one that is too large', async () => {
    const outcome = await new Promise<ServiceError | null>((resolve) => {
      client.makeUnaryRequest(
        '/steward.test.EchoService/Extend',
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        Buffer.from([0x0a, 0xff]),
        new Metadata(),
        (error) => {
          resolve(error);
        },
      );
    });
    expect(outcome?.code).toBe(rpcCode.INVALID_ARGUMENT);
    const large = await call('echo', { text: 'x'.repeat(300_000) });
    expect(large.error?.code).toBe(rpcCode.RESOURCE_EXHAUSTED);
  });

  it('gives a raw method the call as it is, a stream too', async () => {
    expect((await call('echo', { keyId: 'k', text: 't' })).answer).toMatchObject({ keyId: 'k', text: 't' });
    const { follow } = client as unknown as { follow: (request: object) => AsyncIterable<object> };
    const followed: object[] = [];
    for await (const message of follow.call(client, { keyId: 's' })) followed.push(message);
    expect(followed).toEqual([expect.objectContaining({ keyId: 's' })]);
  });

  it('has health and reflection', async () => {
    const { grpc } = loadPackageDefinition(loadSync(healthProto)) as unknown as {
      grpc: { health: { v1: { Health: new (address: string, of: unknown) => Client } } };
    };
    const health = new grpc.health.v1.Health(`127.0.0.1:${port}`, credentials.createInsecure());
    const check = (
      health as unknown as { check(request: object, done: (error: unknown, answer: unknown) => void): void }
    ).check.bind(health);
    const answer = await new Promise((resolve) => {
      check({ service: 'steward.test.EchoService' }, (_error, given) => {
        resolve(given);
      });
    });
    expect(answer).toEqual({ status: 1 });
    health.close();
    const names = await new Promise<string>((resolve, reject) => {
      const stream = client.makeBidiStreamRequest(
        '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        new Metadata(),
      );
      stream.on('data', (bytes: Buffer) => {
        resolve(bytes.toString('latin1'));
      });
      stream.on('error', reject);
      stream.write(Buffer.from([0x3a, 0x00]));
      stream.end();
    });
    expect(names).toContain('steward.test.EchoService');
  });
});

describe('the address of a caller', () => {
  it('is read from every form of a peer', () => {
    expect(addressOfPeer('127.0.0.1:4711')).toBe('127.0.0.1');
    expect(addressOfPeer('[::1]:4711')).toBe('::1');
    expect(addressOfPeer('ipv4:10.0.0.1:1')).toBe('10.0.0.1');
    expect(addressOfPeer('unix:/x')).toBeNull();
  });

  it('is the last one that is no trusted proxy, and never what a stranger says', () => {
    expect(callerAddress('9.9.9.9', '1.1.1.1', [])).toBe('9.9.9.9');
    expect(callerAddress('9.9.9.9', '1.1.1.1', ['10.0.0.0/8'])).toBe('9.9.9.9');
    expect(callerAddress('10.0.0.1', '1.1.1.1, 10.0.0.2', ['10.0.0.0/8'])).toBe('1.1.1.1');
    expect(callerAddress('10.0.0.1', '6.6.6.6, 1.1.1.1', ['10.0.0.0/8'])).toBe('1.1.1.1');
    expect(callerAddress('10.0.0.1', undefined, ['10.0.0.0/8'])).toBe('10.0.0.1');
    expect(callerAddress(null, undefined, [])).toBeNull();
  });
});
