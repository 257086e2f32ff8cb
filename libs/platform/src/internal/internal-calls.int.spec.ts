import { status as rpcCode } from '@grpc/grpc-js';
import { pino } from 'pino';
import { FixedClock, Refusal } from '#libs/eventsourcing';
import { freePorts, TcpProxy } from '#libs/testing';
import { steward } from '../auth/testing/gate-world.js';
import type { Principal } from '../auth/principal.js';
import { SecretText } from '../config/secret-text.js';
import { GrpcServer } from '../grpc/grpc-server.js';
import { RequestContexts } from '../requests/request-contexts.js';
import { Metrics } from '../telemetry/metrics.js';
import { unpackAnswer } from './internal-answer.js';
import { InternalCalls, type InternalMethod } from './internal-calls.js';
import { InternalDoor, type ReceivedCall } from './internal-door.js';
import { NoReplicaAnswered, Replicas } from './replicas.js';

const ASK: InternalMethod = {
  protoFile: 'steward/internal/v1/keys.proto',
  service: 'steward.internal.v1.CredentialService',
  method: 'Authenticate',
};
const UNSERVED: InternalMethod = {
  protoFile: 'steward/internal/v1/quotas.proto',
  service: 'steward.internal.v1.QuotaOwnerService',
  method: 'Execute',
};
const clock = new FixedClock();
const logger = pino({ level: 'silent' });
const config = { internalKey: new SecretText('k'.repeat(32)), tls: undefined, trustedProxies: [] };
const ada: Principal = { type: 'user', id: 'ada', via: 'oidc:x', tenantId: null, grants: [], key: null };

type Handle = (call: ReceivedCall) => Promise<unknown>;

/** A process that answers the others. */
class Replica {
  private constructor(
    private readonly server: GrpcServer,
    readonly address: string,
  ) {}

  static async start(handle: Handle): Promise<Replica> {
    const { gatekeeper } = steward();
    const gate = { isPosition: () => false, checkPosition: () => Promise.resolve() };
    const contexts = new RequestContexts(Buffer.alloc(32), gate);
    const server = new GrpcServer(gatekeeper, contexts, new Metrics(), Buffer.alloc(32), config, logger);
    new InternalDoor(server, config, clock, logger).serve(ASK, 'keys', handle);
    return new Replica(server, `127.0.0.1:${await server.listen(0, '127.0.0.1')}`);
  }

  stop(): Promise<void> {
    return this.server.drain(100);
  }
}

describe('calls between processes', () => {
  const stopped: (() => unknown)[] = [];
  const replica = async (handle: Handle): Promise<string> => {
    const made = await Replica.start(handle);
    stopped.push(() => made.stop());
    return made.address;
  };
  const calls = (under: object = {}): InternalCalls => {
    const made = new InternalCalls({ ...config, ...under }, clock, new Metrics());
    stopped.push(() => {
      made.onModuleDestroy();
    });
    return made;
  };
  const naming = (name: string) => replica(() => Promise.resolve(name));
  const soon = () => performance.now() + 5_000;
  afterEach(async () => {
    for (const stop of stopped.splice(0).reverse()) await stop();
  });

  it('bring the payload and the caller, and take the answer or the refusal with all its extras', async () => {
    const seen: unknown[] = [];
    const address = await replica(({ payload, principal, deadlineMs }) => {
      seen.push(payload.toString('utf8'), principal, (deadlineMs ?? 0) > performance.now());
      if (seen.length > 3)
        return Promise.reject(new Refusal('MEMBER_HAS_USAGE', 'It holds 3.', { extensions: { items: [3] } }));
      return Promise.resolve({ a: [null] });
    });
    const call = { address, to: 'keys', method: ASK, principal: ada, payload: Buffer.from('"☕"'), deadlineMs: soon() };
    const client = calls();
    expect(unpackAnswer(await client.send(call))).toEqual({ a: [null] });
    expect(seen).toEqual(['"☕"', ada, true]);
    await expect(client.send(call).then(unpackAnswer)).rejects.toMatchObject({
      code: 'MEMBER_HAS_USAGE',
      detail: 'It holds 3.',
      extra: { extensions: { items: [3] } },
    });
  });

  it('are answered to nobody without the key, and by nobody for whom they are not meant', async () => {
    const address = await naming('a');
    const call = { address, to: 'keys', method: ASK, principal: null, payload: Buffer.from('1'), deadlineMs: soon() };
    await expect(calls({ internalKey: new SecretText('x'.repeat(32)) }).send(call)).rejects.toMatchObject({
      code: rpcCode.UNAUTHENTICATED,
    });
    await expect(calls().send({ ...call, to: 'quotas' })).rejects.toMatchObject({ code: rpcCode.UNAUTHENTICATED });
  });

  it('end with their deadline where nobody answers', async () => {
    const address = await replica(() => new Promise(() => undefined));
    const began = performance.now();
    const deadlineMs = began + 300;
    const call = { address, to: 'keys', method: ASK, principal: null, payload: Buffer.from('1'), deadlineMs };
    await expect(calls().send(call)).rejects.toMatchObject({ code: rpcCode.DEADLINE_EXCEEDED });
    expect(performance.now() - began).toBeLessThan(2_000);
  });

  describe('to replicas', () => {
    const asked = async (addresses: readonly string[], times: number, timeoutMs = 5_000): Promise<unknown[]> => {
      const replicas = new Replicas(calls(), 'keys', addresses);
      const answers: unknown[] = [];
      for (let n = 0; n < times; n += 1) answers.push(await replicas.ask(ASK, { n }, timeoutMs));
      return answers;
    };

    it('go to one after the other', async () => {
      expect(await asked([await naming('a'), await naming('b')], 4)).toEqual(['a', 'b', 'a', 'b']);
    });

    it('go on where one is gone, stalls, does not know the call, or cannot tell', async () => {
      const [nobody] = await freePorts(1);
      const slow = await naming('never');
      const network = await TcpProxy.start({ host: '127.0.0.1', port: Number(slow.split(':')[1]) });
      stopped.push(() => network.close());
      network.set('stall');
      const stale = await replica(() => Promise.reject(new Refusal('STALE', 'Too old.')));
      const broken = [`127.0.0.1:${nobody ?? 0}`, `127.0.0.1:${network.port}`, stale];
      expect(await asked([...broken, await naming('a')], 5, 4_000)).toEqual(['a', 'a', 'a', 'a', 'a']);
      const elsewhere = new Replicas(calls(), 'keys', [await naming('a')]);
      await expect(elsewhere.ask(UNSERVED, {}, 1_000)).rejects.toThrow(NoReplicaAnswered);
    });

    it('are refused by the first that can tell', async () => {
      const refusing = await replica(() => Promise.reject(new Refusal('NOT_FOUND', 'Not here.')));
      await expect(asked([refusing, await naming('a')], 1)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    });

    it('tell why where none can: what the last one said, or that none answered', async () => {
      const stale = await replica(() => Promise.reject(new Refusal('STALE', 'Old.', { retryAfterSeconds: 1 })));
      await expect(asked([stale, stale], 1)).rejects.toMatchObject({ code: 'STALE', extra: { retryAfterSeconds: 1 } });
      const [nobody] = await freePorts(1);
      const began = performance.now();
      await expect(asked([`127.0.0.1:${nobody ?? 0}`], 1, 1_000)).rejects.toThrow(NoReplicaAnswered);
      await expect(asked([], 1)).rejects.toThrow(NoReplicaAnswered);
      expect(performance.now() - began).toBeLessThan(3_000);
    });
  });
});
