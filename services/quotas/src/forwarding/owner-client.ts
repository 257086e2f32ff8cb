import { status as rpcCode } from '@grpc/grpc-js';
import { Inject, Injectable } from '@nestjs/common';
import { type CommandContext, OutcomeUnknown } from '#libs/eventsourcing';
import {
  GRPC_DEADLINE_MS,
  InternalCalls,
  type InternalMethod,
  isServiceError,
  type Logger,
  LOGGER,
  type Principal,
  unpackAnswer,
} from '#libs/platform';
import type { QuotaCommand } from '../domain/commands.js';
import type { QuotaOutcome } from '../writer/mailbox.js';
import { packCommand } from './forwarded-command.js';
import { QuotaPeers } from './quota-peers.js';

export const EXECUTE: InternalMethod = {
  protoFile: 'steward/internal/v1/quotas.proto',
  service: 'steward.internal.v1.QuotaOwnerService',
  method: 'Execute',
};

/** The owner looked at the call and did nothing: whoever sent it may decide. */
const NOT_DONE: readonly number[] = [rpcCode.UNAUTHENTICATED, rpcCode.UNIMPLEMENTED, rpcCode.RESOURCE_EXHAUSTED];

/** Hands commands to the process that their project belongs to. */
@Injectable()
export class OwnerClient {
  constructor(
    private readonly peers: QuotaPeers,
    private readonly calls: InternalCalls,
    @Inject(LOGGER) private readonly log: Pick<Logger, 'warn'>,
  ) {}

  /** True if this process decides for the project. */
  isOwn(projectId: string): boolean {
    return this.peers.ownerOf(projectId) === null;
  }

  /**
   * What the owner answered; undefined if this process is to decide. Throws what the owner refused, and OutcomeUnknown if
   * it took the command and went silent, for 10 s or until `deadlineMs` (by performance.now()).
   */
  async run(
    projectId: string,
    command: QuotaCommand,
    context: CommandContext,
    principal: Principal | null,
    deadlineMs = Infinity,
  ): Promise<QuotaOutcome | undefined> {
    const owner = this.peers.ownerOf(projectId);
    // Who asks must be known, for the owner asks again what that one may.
    if (owner === null || (principal === null && context.actor.type !== 'system')) return undefined;
    const payload = packCommand({ projectId, command, context });
    if (payload === undefined || !(await this.calls.isReady(owner))) return undefined;
    const untilMs = Math.min(performance.now() + GRPC_DEADLINE_MS, deadlineMs);
    const call = { address: owner, to: owner, method: EXECUTE, principal, payload, deadlineMs: untilMs };
    try {
      return unpackAnswer(await this.calls.send(call)) as QuotaOutcome;
    } catch (error) {
      if (!isServiceError(error)) throw error;
      const { code, details } = error;
      this.log.warn({ owner, code: rpcCode[code], details }, 'The owner of a project did not answer a command.');
      if (NOT_DONE.includes(code)) return undefined;
      throw new OutcomeUnknown({ cause: error });
    }
  }
}
