import { type sendUnaryData, type ServerUnaryCall, status as rpcCode } from '@grpc/grpc-js';
import { Inject, Injectable } from '@nestjs/common';
import type { Clock } from '#libs/eventsourcing';
import type { Principal } from '../auth/principal.js';
import type { AppConfig } from '../config/config.js';
import { rawUnary } from '../grpc/grpc-methods.js';
import { deadlineMsOf, GrpcServer, traced } from '../grpc/grpc-server.js';
import { refusalOf } from '../requests/problem.js';
import type { Logger } from '../telemetry/logger.js';
import { CLOCK, CONFIG, LOGGER } from '../tokens.js';
import { packOutcome, packRefusal } from './internal-answer.js';
import { type InternalMethod, nameOf } from './internal-calls.js';
import { InternalTokenInvalid, InternalTokens } from './internal-tokens.js';

export interface ReceivedCall {
  readonly payload: Buffer;
  /** For whom the other process asks, with the rights held when it asked; null is the program itself. */
  readonly principal: Principal | null;
  /** By performance.now(); undefined where the caller waits for ever. */
  readonly deadlineMs: number | undefined;
}

interface Served {
  readonly tokens: InternalTokens;
  readonly method: InternalMethod;
  readonly to: string;
  readonly handle: (call: ReceivedCall) => Promise<unknown>;
}

/** Answers other processes of this installation, and nobody else. */
@Injectable()
export class InternalDoor {
  private readonly tokens: InternalTokens | undefined;

  constructor(
    private readonly grpc: GrpcServer,
    @Inject(CONFIG) config: Pick<AppConfig, 'internalKey'>,
    @Inject(CLOCK) clock: Clock,
    @Inject(LOGGER) private readonly log: Pick<Logger, 'warn' | 'error'>,
  ) {
    const { internalKey } = config;
    this.tokens = internalKey && new InternalTokens(Buffer.from(internalKey.reveal(), 'latin1'), clock);
  }

  /**
   * In `onModuleInit`; serves nothing in a process without the internal key. Tokens must be for `to`. What `handle`
   * answers goes out as JSON; what it refuses is thrown at the caller's side.
   */
  serve(method: InternalMethod, to: string, handle: (call: ReceivedCall) => Promise<unknown>): void {
    const { tokens } = this;
    if (tokens === undefined) return;
    const name = method.method.charAt(0).toLowerCase() + method.method.slice(1);
    this.grpc.addService(method.protoFile, method.service, {
      [name]: rawUnary(
        (call, callback) =>
          void traced(`/${nameOf(method)}`, call, () => this.answer({ tokens, method, to, handle }, call, callback)),
      ),
    });
  }

  private async answer(
    { tokens, method, to, handle }: Served,
    call: ServerUnaryCall<unknown, unknown>,
    callback: sendUnaryData<unknown>,
  ): Promise<void> {
    const { token = '', payload = Buffer.alloc(0) } = call.request as { token?: string; payload?: Buffer };
    let principal: Principal | null;
    try {
      principal = await tokens.verify(token, { to, method: nameOf(method), payload });
    } catch (err) {
      this.log.warn({ err, method: nameOf(method), peer: call.getPeer() }, 'An internal call bore no valid token.');
      const details = err instanceof InternalTokenInvalid ? err.message : 'The token cannot be read.';
      callback({ code: rpcCode.UNAUTHENTICATED, details });
      return;
    }
    try {
      callback(null, { answer: packOutcome(await handle({ payload, principal, deadlineMs: deadlineMsOf(call) })) });
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal.code === 'INTERNAL')
        this.log.error({ err: error, method: nameOf(method) }, 'An internal call failed unexpectedly.');
      callback(null, { answer: packRefusal(refusal) });
    }
  }
}
