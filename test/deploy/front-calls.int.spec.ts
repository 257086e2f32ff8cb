import { once } from 'node:events';
import {
  Client,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { describeOnReal, freePorts } from '#libs/testing';
import { RunningFront, whyNoNginx } from './running-front.js';

const ADDRESSES: Record<string, readonly string[]> = { keys: ['127.0.1.11', '127.0.1.12'], quotas: ['127.0.2.11'] };
const DEADLINE_MS = 10_000;
const CALLS = 1_200;

const asIs = (bytes: Buffer): Buffer => bytes;
const method = (path: string, streams: boolean) => ({
  path,
  requestStream: streams,
  responseStream: streams,
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
});
const VERIFY = '/steward.v1.VerifierService/Verify';
const VERIFY_STREAM = '/steward.v1.VerifierService/VerifyStream';

/** Says where it stands, what it was sent and for whom; with `refuse` it refuses. */
async function startReplica(address: string, port: number): Promise<Server> {
  const server = new Server();
  server.addService(
    { verify: method(VERIFY, false), verifyStream: method(VERIFY_STREAM, true) },
    {
      verify: (
        call: { request: Buffer; metadata: Metadata },
        done: (error: Partial<ServiceError> | null, answer?: Buffer) => void,
      ) => {
        if (call.request.toString() === 'refuse')
          done({ code: status.RESOURCE_EXHAUSTED, details: 'Too much.', metadata: new Metadata() });
        else
          done(
            null,
            Buffer.from(`${address} ${call.request.toString()} ${call.metadata.get('x-forwarded-for').join()}`),
          );
      },
      verifyStream: (call: ServerDuplexStream<Buffer, Buffer>) => {
        call.on('data', (bytes: Buffer) => call.write(Buffer.from(`${address} ${bytes.toString()}`)));
        call.on('end', () => {
          call.end();
        });
      },
    },
  );
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`${address}:${port}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
  return server;
}

describeOnReal('nginx', whyNoNginx(), 'gRPC through the front, under a real nginx', () => {
  let front: RunningFront;
  let servers: Server[];
  let client: Client;
  const deadline = (): Date => new Date(Date.now() + DEADLINE_MS);
  const call = (path: string, message: string): Promise<string> =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        path,
        asIs,
        asIs,
        Buffer.from(message),
        new Metadata(),
        { deadline: deadline() },
        (error, answer) => {
          if (error === null) resolve(answer?.toString() ?? '');
          else reject(error);
        },
      );
    });

  beforeAll(async () => {
    const [port = 0, grpcPort = 0] = await freePorts(2);
    servers = await Promise.all((ADDRESSES['keys'] ?? []).map((address) => startReplica(address, grpcPort)));
    front = await RunningFront.start({ addressesOf: (service) => ADDRESSES[service] ?? [], port, grpcPort });
    client = new Client(front.grpcAddress, credentials.createInsecure());
  });
  afterAll(async () => {
    client.close();
    await front.stop();
    for (const server of servers) server.forceShutdown();
  });

  it('each call goes to one of the replicas, with the address of the caller', async () => {
    const answers: string[] = [];
    for (let n = 0; n < CALLS; n += 1) answers.push(await call(VERIFY, `a${n}`));
    const turns = (ADDRESSES['keys'] ?? []).map((one) => answers.filter((text) => text.startsWith(`${one} `)).length);
    expect(answers[7]).toMatch(/^127\.0\.1\.1[12] a7 127\.0\.0\.1$/);
    expect(turns.reduce((sum, count) => sum + count, 0)).toBe(CALLS);
    expect(Math.min(...turns)).toBeGreaterThan(CALLS / 10);
  });

  it('a refusal of the service comes as the service gave it', async () => {
    await expect(call(VERIFY, 'refuse')).rejects.toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
      details: 'Too much.',
    });
  });

  it('a stream goes both ways, message by message', async () => {
    const stream = client.makeBidiStreamRequest(VERIFY_STREAM, asIs, asIs, new Metadata(), { deadline: deadline() });
    for (const message of ['one', 'two', 'three']) {
      stream.write(Buffer.from(message));
      const [answer] = (await once(stream, 'data')) as [Buffer];
      expect(answer.toString()).toMatch(new RegExp(` ${message}$`));
    }
    const ended = once(stream, 'end');
    stream.end();
    await ended;
  });

  it.each([
    ['that is internal', '/steward.internal.v1.QuotaOwnerService/Execute'],
    ['that nobody has', '/steward.v9.KeyService/GetKey'],
  ])('a call %s is refused as unimplemented', async (_what, path) => {
    await expect(call(path, '')).rejects.toMatchObject({ code: status.UNIMPLEMENTED });
  });

  it('a call whose service has no replica is refused as unavailable', async () => {
    for (const path of ['/steward.v1.QuotaService/GetQuotas', '/steward.v1.AuditService/ReadEvents'])
      await expect(call(path, '')).rejects.toMatchObject({
        code: status.UNAVAILABLE,
        details: 'No replica of this service answered.',
      });
  });
});
