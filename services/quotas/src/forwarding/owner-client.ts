import { join } from 'node:path';
import {
  Client,
  connectivityState,
  credentials,
  type MethodDefinition,
  type ServiceDefinition,
  type ServiceError,
  status as rpcCode,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { type Clock, type CommandContext, OutcomeUnknown } from '#libs/eventsourcing';
import {
  type AppConfig,
  callMetadata,
  CLOCK,
  CONFIG,
  GRPC_DEADLINE_MS,
  type Logger,
  LOGGER,
  type Principal,
  PROTO_ROOT,
} from '#libs/platform';
import type { QuotaCommand } from '../domain/commands.js';
import type { QuotaOutcome } from '../writer/mailbox.js';
import { packCommand, unpackAnswer } from './forwarded-command.js';
import { InternalTokens } from './internal-token.js';
import { QuotaPeers } from './quota-peers.js';

export const OWNER_PROTO = 'steward/internal/v1/quotas.proto';
export const OWNER_SERVICE = 'steward.internal.v1.QuotaOwnerService';

/** How long an owner may take to be connected before this process decides itself. */
const CONNECT_MS_MAX = 1_000;

/** The owner looked at the call and did nothing: whoever sent it may decide. */
const NOT_DONE: readonly number[] = [rpcCode.UNAUTHENTICATED, rpcCode.UNIMPLEMENTED, rpcCode.RESOURCE_EXHAUSTED];

interface ExecuteRequest {
  readonly token: string;
  readonly payload: Buffer;
}

type Execute = MethodDefinition<ExecuteRequest, { readonly answer?: Buffer }>;

/** Hands commands to the process that their project belongs to. */
@Injectable()
export class OwnerClient implements OnModuleDestroy {
  private readonly clients = new Map<string, Client>();
  private readonly tokens: InternalTokens | undefined;
  private readonly execute: Execute;

  constructor(
    private readonly peers: QuotaPeers,
    @Inject(CONFIG) private readonly config: Pick<AppConfig, 'quotasPeers' | 'tls'>,
    @Inject(CLOCK) clock: Clock,
    @Inject(LOGGER) private readonly log: Pick<Logger, 'warn'>,
  ) {
    const { quotasPeers } = config;
    this.tokens = quotasPeers && new InternalTokens(Buffer.from(quotasPeers.internalKey.reveal(), 'latin1'), clock);
    const service = loadSync(join(PROTO_ROOT, OWNER_PROTO))[OWNER_SERVICE] as ServiceDefinition;
    this.execute = service['Execute'] as unknown as Execute;
  }

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
    const { tokens } = this;
    const owner = this.peers.ownerOf(projectId);
    // Who asks must be known, for the owner asks again what that one may.
    if (tokens === undefined || owner === null || (principal === null && context.actor.type !== 'system'))
      return undefined;
    const payload = packCommand({ projectId, command, context });
    if (payload === undefined) return undefined;
    const client = this.clientOf(owner);
    if (!(await isReady(client))) return undefined;
    try {
      const token = await tokens.sign(owner, principal, payload);
      return unpackAnswer(await this.call(client, { token, payload }, deadlineMs));
    } catch (error) {
      if (!isServiceError(error)) throw error;
      const { code, details } = error;
      this.log.warn({ owner, code: rpcCode[code], details }, 'The owner of a project did not answer a command.');
      if (NOT_DONE.includes(code)) return undefined;
      throw new OutcomeUnknown({ cause: error });
    }
  }

  onModuleDestroy(): void {
    for (const client of this.clients.values()) client.close();
  }

  private clientOf(address: string): Client {
    let client = this.clients.get(address);
    if (client === undefined) {
      const { tls } = this.config;
      // Whoever serves TLS is asked by TLS; a private authority comes by NODE_EXTRA_CA_CERTS.
      client = new Client(address, tls === undefined ? credentials.createInsecure() : credentials.createSsl(), {
        'grpc.initial_reconnect_backoff_ms': 100,
        'grpc.max_reconnect_backoff_ms': 1_000,
        // One that was sent may have been done, and only the caller knows whether to ask again.
        'grpc.enable_retries': 0,
      });
      this.clients.set(address, client);
    }
    return client;
  }

  private call(client: Client, request: ExecuteRequest, deadlineMs: number): Promise<Buffer> {
    const { path, requestSerialize, responseDeserialize } = this.execute;
    const deadline = Date.now() + Math.min(GRPC_DEADLINE_MS, deadlineMs - performance.now());
    const metadata = callMetadata();
    return new Promise((resolve, reject) => {
      const answered = (error: ServiceError | null, response?: { readonly answer?: Buffer }): void => {
        if (error !== null) reject(error);
        else resolve(response?.answer ?? Buffer.alloc(0));
      };
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, metadata, { deadline }, answered);
    });
  }
}

/** False at once where the connection was refused, so that nobody waits for a process that is gone. */
async function isReady(client: Client): Promise<boolean> {
  const channel = client.getChannel();
  const deadline = Date.now() + CONNECT_MS_MAX;
  for (;;) {
    const state = channel.getConnectivityState(true);
    if (state === connectivityState.READY) return true;
    if (state === connectivityState.TRANSIENT_FAILURE || state === connectivityState.SHUTDOWN) return false;
    const changed = await new Promise<boolean>((resolve) => {
      channel.watchConnectivityState(state, deadline, (error) => {
        resolve(error === undefined);
      });
    });
    if (!changed) return false;
  }
}

const isServiceError = (error: unknown): error is ServiceError =>
  error instanceof Error && 'code' in error && 'details' in error && 'metadata' in error;
