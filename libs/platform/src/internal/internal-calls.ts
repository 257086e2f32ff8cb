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
import { Histogram } from 'prom-client';
import type { Clock } from '#libs/eventsourcing';
import type { Principal } from '../auth/principal.js';
import type { AppConfig } from '../config/config.js';
import { callMetadata } from '../grpc/call-metadata.js';
import { PROTO_ROOT } from '../grpc/grpc-server.js';
import { Metrics } from '../telemetry/metrics.js';
import { CLOCK, CONFIG } from '../tokens.js';
import { InternalTokens, type SignedCall } from './internal-tokens.js';

/** How long a process may take to be connected, ms. */
const CONNECT_MS_MAX = 1_000;

/** A method that the processes of one installation call; each takes a token with a payload and gives an answer. */
export interface InternalMethod {
  /** Below PROTO_ROOT. */
  readonly protoFile: string;
  readonly service: string;
  readonly method: string;
}

export const nameOf = ({ service, method }: InternalMethod): string => `${service}/${method}`;

export interface InternalCall extends Omit<SignedCall, 'method'> {
  /** `host:port`. */
  readonly address: string;
  readonly method: InternalMethod;
  readonly principal: Principal | null;
  /** By performance.now(). */
  readonly deadlineMs: number;
}

interface CallRequest {
  readonly token: string;
  readonly payload: Buffer;
}

type CallMethod = MethodDefinition<CallRequest, { readonly answer?: Buffer }>;

/** Calls other processes of this installation, each call under a token of its own. */
@Injectable()
export class InternalCalls implements OnModuleDestroy {
  private readonly clients = new Map<string, Client>();
  private readonly methods = new Map<string, CallMethod>();
  private readonly tokens: InternalTokens | undefined;
  private readonly seconds: Histogram<'method' | 'code'>;

  constructor(
    @Inject(CONFIG) private readonly config: Pick<AppConfig, 'internalKey' | 'tls'>,
    @Inject(CLOCK) clock: Clock,
    metrics: Metrics,
  ) {
    this.seconds = new Histogram({
      name: 'steward_internal_call_duration_seconds',
      help: 'Calls to other processes of this installation, from the sending to the answer.',
      labelNames: ['method', 'code'],
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1, 2.5, 10],
      registers: [metrics.registry],
    });
    const { internalKey } = config;
    this.tokens = internalKey && new InternalTokens(Buffer.from(internalKey.reveal(), 'latin1'), clock);
  }

  /** Throws a ServiceError of grpc-js. What was sent may have been done: it is never sent twice. */
  async send({ address, method, to, principal, payload, deadlineMs }: InternalCall): Promise<Buffer> {
    if (this.tokens === undefined) throw new Error('A process without the internal key calls no other.');
    const token = await this.tokens.sign({ to, method: nameOf(method), payload }, principal);
    const { path, requestSerialize, responseDeserialize } = this.definitionOf(method);
    const deadline = Date.now() + deadlineMs - performance.now();
    const request = { token, payload: Buffer.from(payload) };
    const metadata = callMetadata();
    return new Promise((resolve, reject) => {
      const took = this.seconds.startTimer({ method: nameOf(method) });
      const answered = (error: ServiceError | null, response?: { readonly answer?: Buffer }): void => {
        took({ code: rpcCode[error?.code ?? rpcCode.OK] });
        if (error !== null) reject(error);
        else resolve(response?.answer ?? Buffer.alloc(0));
      };
      const client = this.clientOf(address);
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, metadata, { deadline }, answered);
    });
  }

  /** False at once where the connection was refused, so that nobody waits for a process that is gone. */
  async isReady(address: string, waitMs = CONNECT_MS_MAX): Promise<boolean> {
    const channel = this.clientOf(address).getChannel();
    const deadline = Date.now() + Math.min(waitMs, CONNECT_MS_MAX);
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
        // A network that swallows packets would otherwise keep a connection, and all that is written to it, for minutes.
        'grpc.keepalive_time_ms': 10_000,
        'grpc.keepalive_timeout_ms': 5_000,
      });
      this.clients.set(address, client);
    }
    return client;
  }

  private definitionOf(method: InternalMethod): CallMethod {
    const name = nameOf(method);
    const known = this.methods.get(name);
    if (known !== undefined) return known;
    const loaded = loadSync(join(PROTO_ROOT, method.protoFile), { includeDirs: [PROTO_ROOT] });
    // The loader types every message as any object; these two stand in call.proto.
    const definition = (loaded[method.service] as ServiceDefinition)[method.method] as unknown as CallMethod;
    this.methods.set(name, definition);
    return definition;
  }
}

export const isServiceError = (error: unknown): error is ServiceError =>
  error instanceof Error && 'code' in error && 'details' in error && 'metadata' in error;
