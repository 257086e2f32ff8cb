import {
  type Metadata,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerUnaryCall,
  status as rpcCode,
} from '@grpc/grpc-js';
import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { errorCodes } from '#libs/contracts';
import {
  type Admission,
  addressOfPeer,
  type AppConfig,
  callerAddress,
  CONFIG,
  Gatekeeper,
  GrpcAnswer,
  GrpcServer,
  headerOf,
  LOGGER,
  Metrics,
  rawBidiStream,
  rawUnary,
  refusalOf,
  RequestContexts,
  type Requirement,
  rpcStatusOf,
  tokenOf,
} from '#libs/platform';
import { KeyVerifier } from './key-verifier.js';
import { timeOf, type Verified, type VerifiedKey } from './verify-answer.js';
import { readVerifyBatch, readVerifyRequest } from './verify-request.js';

const mayVerify: Requirement = { action: 'keys:verify', target: 'list', decidesFromMemory: true };
const SERVICE = 'steward.v1.VerifierService';
/** What a stream may have under way; past it the caller is not read from. */
const STREAM_PENDING_MAX = 256;
const STREAM_ID_LENGTH_MAX = 64;

type Call = Pick<ServerUnaryCall<unknown, unknown>, 'metadata' | 'getPeer'>;
type Message = Record<string, unknown>;

interface StatusObject {
  readonly code: number;
  readonly details: string;
  readonly metadata: Metadata;
}

function messageOfKey({ keyId, key, secret, role, scopes, missing }: VerifiedKey): Message {
  const { row, profile, extras, place } = key;
  const retiresAt = secret.retiresAtMs === null ? undefined : timeOf(secret.retiresAtMs);
  return {
    keyId,
    tenantId: place.tenantId ?? undefined,
    projectId: place.projectId ?? undefined,
    owner: { type: row.ownerType, id: key.ownerId, role },
    environment: profile.environment,
    scopes: scopes === null ? undefined : { values: scopes },
    labels: extras.labels === '{}' ? {} : (JSON.parse(extras.labels) as Message),
    metadataJson: extras.metadata,
    expiresAt: timeOf(row.expiresAtMs) ?? undefined,
    secretVersion: secret.version,
    rotation: { superseded: secret.superseded, retiresAt },
    missing: missing ?? [],
  };
}

function verifyMessage({ code, about, position, stalenessMs }: Verified): Message {
  const message = about === undefined ? {} : messageOfKey(about);
  message['valid'] = code === 'VALID';
  message['code'] = code;
  message['asOf'] = { position, stalenessMs: Number.isFinite(stalenessMs) ? Math.round(stalenessMs) : undefined };
  return message;
}

/** Verification over gRPC, on grpc-js as it is. A stream spares the price of a call, which is most of what one costs. */
@Injectable()
export class VerifierGrpc implements OnModuleInit {
  constructor(
    private readonly server: GrpcServer,
    private readonly gatekeeper: Gatekeeper,
    private readonly verifier: KeyVerifier,
    private readonly contexts: RequestContexts,
    private readonly metrics: Metrics,
    @Inject(CONFIG) private readonly config: Pick<AppConfig, 'trustedProxies'>,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onModuleInit(): void {
    this.server.addService('steward/v1/verifier.proto', SERVICE, {
      verify: rawUnary((call, callback) => {
        void this.answer('Verify', call, callback, async ({ principal }) =>
          this.verifier.verify(readVerifyRequest(call.request, 'request'), principal, verifyMessage),
        );
      }),
      verifyBatch: rawUnary((call, callback) => {
        void this.answer('VerifyBatch', call, callback, async ({ principal }) => ({
          results: await this.verifier.verifyBatch(readVerifyBatch(call.request, 'request'), principal, verifyMessage),
        }));
      }),
      verifyStream: rawBidiStream((call) => {
        this.stream(call);
      }),
    });
  }

  private async answer(
    method: string,
    call: ServerUnaryCall<unknown, unknown>,
    callback: sendUnaryData<unknown>,
    make: (admission: Admission) => Promise<Message>,
  ): Promise<void> {
    const startedMs = performance.now();
    let code: number = rpcCode.OK;
    try {
      callback(null, await make(await this.admit(call)));
    } catch (error) {
      const status = this.statusOf(error, new GrpcAnswer(call));
      ({ code } = status);
      callback(status);
    }
    this.metrics.grpcSeconds.observe(
      { method: `/${SERVICE}/${method}`, code: rpcCode[code] ?? String(code) },
      (performance.now() - startedMs) / 1_000,
    );
  }

  private stream(call: ServerDuplexStream<Message, Message>): void {
    let pending = 0;
    let state: 'open' | 'half-closed' | 'over' = 'open';
    // What arrives in one turn of the event loop is let in together, so a caller whose key ends is noticed at once.
    let admission: Promise<Admission> | undefined;
    const admitted = (): Promise<Admission> => {
      if (admission === undefined) {
        admission = this.admit(call);
        setImmediate(() => {
          admission = undefined;
        });
      }
      return admission;
    };
    const endIfDone = (): void => {
      if (state !== 'half-closed' || pending > 0) return;
      state = 'over';
      call.end();
    };
    const answer = async (message: Message): Promise<void> => {
      try {
        const decided = await this.decisionOf(message, await admitted());
        if (state !== 'over') call.write(decided);
      } catch (error) {
        if (state === 'over') return;
        state = 'over';
        call.emit('error', this.statusOf(error, new GrpcAnswer(call as never)));
      } finally {
        pending -= 1;
        if (pending < STREAM_PENDING_MAX) call.resume();
        endIfDone();
      }
    };
    call.on('data', (message: Message) => {
      pending += 1;
      if (pending >= STREAM_PENDING_MAX) call.pause();
      void answer(message);
    });
    call.on('end', () => {
      if (state === 'open') state = 'half-closed';
      endIfDone();
    });
    call.on('cancelled', () => {
      state = 'over';
    });
  }

  /** A request of a stream that is wrong in itself is answered as such, and the stream goes on. */
  private async decisionOf(message: Message, { principal }: Admission): Promise<Message> {
    const { id: given, request } = message;
    const id = typeof given === 'string' ? given.slice(0, STREAM_ID_LENGTH_MAX) : '';
    try {
      const ask = readVerifyRequest(request ?? {}, 'request');
      return { id, decision: await this.verifier.verify(ask, principal, verifyMessage) };
    } catch (error) {
      const { code, detail } = refusalOf(error);
      if (code === 'INTERNAL') this.logger.error({ err: error }, 'A request of a stream failed unexpectedly.');
      return { id, fault: { code, detail } };
    }
  }

  private admit(call: Call): Promise<Admission> {
    const header = (name: string): string | undefined => headerOf(call.metadata, name);
    const position = header('steward-position');
    return this.gatekeeper.admit({
      token: tokenOf(header),
      ip: callerAddress(addressOfPeer(call.getPeer()), header('x-forwarded-for'), this.config.trustedProxies),
      requires: mayVerify,
      params: {},
      ...(position === undefined
        ? {}
        : { minPosition: () => this.contexts.position({ 'header.Steward-Position': position }) }),
    });
  }

  private statusOf(error: unknown, { requestId, trailers }: GrpcAnswer): StatusObject {
    const refusal = refusalOf(error);
    if (refusal.code === 'INTERNAL') this.logger.error({ err: error, requestId }, 'A call failed unexpectedly.');
    trailers.set('grpc-status-details-bin', rpcStatusOf(refusal, requestId));
    return { code: errorCodes[refusal.code].grpc, details: refusal.detail, metadata: trailers };
  }
}
