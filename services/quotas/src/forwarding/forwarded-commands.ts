import { type sendUnaryData, type ServerUnaryCall, status as rpcCode } from '@grpc/grpc-js';
import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import type { Clock } from '#libs/eventsourcing';
import {
  type AppConfig,
  CLOCK,
  CONFIG,
  deadlineMsOf,
  GrpcServer,
  type Logger,
  LOGGER,
  type Principal,
  PrincipalResolver,
  rawUnary,
  refusalOf,
} from '#libs/platform';
import { QuotaLedgers } from '../writer/quota-ledgers.js';
import { CommandRights } from './command-rights.js';
import { packOutcome, packRefusal, unpackCommand } from './forwarded-command.js';
import { InternalTokenInvalid, InternalTokens } from './internal-token.js';
import { OWNER_PROTO, OWNER_SERVICE } from './owner-client.js';

/** Takes the commands that other processes hand to this one, and asks again what their callers may. */
@Injectable()
export class ForwardedCommands implements OnModuleInit {
  constructor(
    private readonly grpc: GrpcServer,
    private readonly ledgers: QuotaLedgers,
    private readonly rights: CommandRights,
    private readonly resolver: PrincipalResolver,
    @Inject(CONFIG) private readonly config: Pick<AppConfig, 'quotasPeers'>,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly log: Pick<Logger, 'warn' | 'error'>,
  ) {}

  onModuleInit(): void {
    const { quotasPeers } = this.config;
    if (quotasPeers === undefined) return;
    const { own, internalKey } = quotasPeers;
    const tokens = new InternalTokens(Buffer.from(internalKey.reveal(), 'latin1'), this.clock);
    this.grpc.addService(OWNER_PROTO, OWNER_SERVICE, {
      execute: rawUnary((call, callback) => void this.execute(tokens, own, call, callback)),
    });
  }

  private async execute(
    tokens: InternalTokens,
    own: string,
    call: ServerUnaryCall<unknown, unknown>,
    callback: sendUnaryData<unknown>,
  ): Promise<void> {
    const { token = '', payload = Buffer.alloc(0) } = call.request as { token?: string; payload?: Buffer };
    let principal: Principal | null;
    try {
      principal = await tokens.verify(token, own, payload);
    } catch (err) {
      this.log.warn({ err, peer: call.getPeer() }, 'A call to this process as an owner bore no valid token.');
      const details = err instanceof InternalTokenInvalid ? err.message : 'The token cannot be read.';
      callback({ code: rpcCode.UNAUTHENTICATED, details });
      return;
    }
    callback(null, { answer: await this.answer(payload, principal, deadlineMsOf(call)) });
  }

  /** Never handed on again: two that disagree about the owner would send it to and fro. */
  private async answer(payload: Buffer, principal: Principal | null, deadlineMs: number | undefined): Promise<Buffer> {
    try {
      const forwarded = unpackCommand(payload);
      const caller = principal && this.resolver.again(principal);
      const { command, hold } = await this.rights.permitted(forwarded, caller);
      const { projectId, context } = forwarded;
      return packOutcome(await this.ledgers.runHere(projectId, command, context, { hold, deadlineMs }));
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal.code === 'INTERNAL') this.log.error({ err: error }, 'A forwarded command failed unexpectedly.');
      return packRefusal(refusal);
    }
  }
}
