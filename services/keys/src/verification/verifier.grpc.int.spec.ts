import {
  type Client,
  credentials,
  loadPackageDefinition,
  Metadata,
  type ServiceError,
  status as rpcCode,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { pino } from 'pino';
import { AuthThrottle, Gatekeeper, GrpcServer, PROTO_ROOT, Targets } from '#libs/platform';
import { newToken } from '../key-secret.js';
import { type MadeKey, VerificationWorld } from './testing/verification-world.js';
import { VerifierGrpc } from './verifier.grpc.js';

type Message = Record<string, unknown>;
type Done = (error: ServiceError | null, answer: Message) => void;
interface Duplex {
  write(message: Message): void;
  end(): void;
  on(event: 'data', listener: (message: Message) => void): void;
  on(event: 'error', listener: (error: ServiceError) => void): void;
  on(event: 'end', listener: () => void): void;
}
interface Verifier extends Client {
  verify(request: Message, metadata: Metadata, done: Done): void;
  verifyBatch(request: Message, metadata: Metadata, done: Done): void;
  verifyStream(metadata: Metadata): Duplex;
}

describe('verification over gRPC', () => {
  let world: VerificationWorld;
  let server: GrpcServer;
  let client: Verifier;
  let caller: MadeKey;
  beforeAll(async () => {
    world = await VerificationWorld.start();
    const owner = { type: 'service', id: 'gateway', role: 'service' } as const;
    caller = await world.key({ owner });
    const { index, access, verifier, resolver, follower, config, contexts, metrics, installationKey } = world;
    const targets = new Targets(access, index);
    const nobody = { authenticate: () => Promise.resolve(undefined) };
    const gatekeeper = new Gatekeeper(verifier, resolver, targets, new AuthThrottle(config), follower, config, nobody);
    const logger = pino({ level: 'silent' });
    const serving = { trustedProxies: [], tls: undefined };
    server = new GrpcServer(gatekeeper, contexts, metrics, installationKey, serving, logger);
    new VerifierGrpc(server, gatekeeper, verifier, contexts, metrics, serving, logger).onModuleInit();
    const port = await server.listen(0, '127.0.0.1');
    const loaded = loadPackageDefinition(
      loadSync('steward/v1/verifier.proto', { includeDirs: [PROTO_ROOT], longs: Number, arrays: true }),
    ) as unknown as { steward: { v1: { VerifierService: new (address: string, of: unknown) => Verifier } } };
    client = new loaded.steward.v1.VerifierService(`127.0.0.1:${port}`, credentials.createInsecure());
  });
  afterAll(async () => {
    client.close();
    await server.drain(1_000);
    await world.close();
  });

  const as = (token: string): Metadata => {
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${token}`);
    return metadata;
  };

  function call(method: 'verify' | 'verifyBatch', request: Message, token = caller.token): Promise<Message> {
    return new Promise((resolve, reject) => {
      client[method](request, as(token), (error, answer) => {
        if (error === null) resolve(answer);
        else reject(error);
      });
    });
  }

  it('answers as HTTP does', async () => {
    const { keyId, token } = await world.key({
      scopes: ['a:b'],
      labels: { team: 'x' },
      metadata: { n: 1 },
      expiresAt: '2026-06-01T00:00:00.000Z',
    });
    expect(await call('verify', { token })).toMatchObject({
      valid: true,
      code: 'VALID',
      keyId,
      tenantId: 'acme',
      projectId: 'GOV1',
      owner: { type: 'user', id: 'alice', role: 'tenant_user' },
      environment: 'live',
      scopes: { values: ['a:b'] },
      labels: { team: 'x' },
      metadataJson: '{"n":1}',
      expiresAt: '2026-06-01T00:00:00.000Z',
      secretVersion: 1,
      rotation: { superseded: false },
    });
    const refused = await call('verify', { token, scopes: ['a:c'], clientIp: '192.0.2.1' });
    expect(refused).toMatchObject({ valid: false, code: 'INSUFFICIENT_SCOPE', missing: ['a:c'] });
    const unknown = await call('verify', { token: newToken('live', keyId) });
    expect(unknown).toMatchObject({ valid: false, code: 'NOT_FOUND' });
    expect(unknown['keyId']).toBeUndefined();
  });

  it('tells all of the owner’s scopes from none', async () => {
    const all = await world.key({ scopes: null });
    const none = await world.key({ scopes: [] });
    expect((await call('verify', { token: all.token }))['scopes']).toBeUndefined();
    expect((await call('verify', { token: none.token }))['scopes']).toEqual({ values: [] });
  });

  it('answers a batch in its order', async () => {
    const { token } = await world.key();
    const { results } = await call('verifyBatch', { requests: [{ token }, { token: 'stw_x' }, { token }] });
    expect((results as Message[]).map(({ code }) => code)).toEqual(['VALID', 'MALFORMED', 'VALID']);
  });

  it('refuses a caller, and a request that is wrong, with a status', async () => {
    const { token } = await world.key();
    await expect(call('verify', { token }, 'stw_x')).rejects.toMatchObject({ code: rpcCode.UNAUTHENTICATED });
    await expect(call('verify', {})).rejects.toMatchObject({ code: rpcCode.INVALID_ARGUMENT });
    await expect(call('verify', { token, scopes: ['B'] })).rejects.toMatchObject({ code: rpcCode.INVALID_ARGUMENT });
    await expect(call('verify', { token, minPosition: 'x' })).rejects.toMatchObject({ code: rpcCode.INVALID_ARGUMENT });
    await expect(call('verify', { token, consume: [{ limit: 'x', cost: 1 }] })).rejects.toMatchObject({
      code: rpcCode.INVALID_ARGUMENT,
    });
    await expect(call('verifyBatch', {})).rejects.toMatchObject({ code: rpcCode.INVALID_ARGUMENT });
  });

  it('answers each request of a stream, faults too, and ends when the caller ends it', async () => {
    const { token } = await world.key();
    const stream = client.verifyStream(as(caller.token));
    const answers = new Map<unknown, Message>();
    const ended = new Promise<void>((resolve, reject) => {
      stream.on('end', resolve);
      stream.on('error', reject);
    });
    stream.on('data', (message) => answers.set(message['id'], message));
    const count = 1_000;
    for (let n = 0; n < count; n += 1)
      stream.write({ id: `n${n}`, request: { token: n % 10 === 0 ? 'stw_x' : token } });
    stream.write({ id: 'wrong', request: { token, clientIp: 'nonsense' } });
    stream.end();
    await ended;
    expect(answers.size).toBe(count + 1);
    expect(answers.get('n0')).toMatchObject({ decision: { code: 'MALFORMED' } });
    expect(answers.get('n1')).toMatchObject({ decision: { code: 'VALID' } });
    expect(answers.get('wrong')).toMatchObject({ fault: { code: 'VALIDATION' } });
  });

  it('ends a stream whose caller’s key has ended', async () => {
    const own = await world.key({ owner: { type: 'service', id: 'gateway', role: 'service' } });
    const { token } = await world.key();
    const stream = client.verifyStream(as(own.token));
    const failed = new Promise<ServiceError>((resolve) => {
      stream.on('error', resolve);
    });
    const first = new Promise<Message>((resolve) => {
      stream.on('data', resolve);
    });
    stream.write({ id: '1', request: { token } });
    expect(await first).toMatchObject({ decision: { code: 'VALID' } });
    await world.change(own.keyId, { type: 'KeyRevoked', data: { reason: 'compromised' } });
    stream.write({ id: '2', request: { token } });
    expect((await failed).code).toBe(rpcCode.UNAUTHENTICATED);
  });
});
