import { Global, Inject, Injectable, Module } from '@nestjs/common';
import { Refusal } from '#libs/eventsourcing';
import { type Authentication, CredentialVerifier } from '../auth/credentials.js';
import type { AppConfig } from '../config/config.js';
import type { Logger } from '../telemetry/logger.js';
import { CONFIG, LOGGER } from '../tokens.js';
import { InternalCalls, type InternalMethod } from './internal-calls.js';
import { InternalModule } from './internal.module.js';
import { NoReplicaAnswered, Replicas } from './replicas.js';

/** Whom tokens for the keys service are made out to. */
export const KEYS_SERVICE = 'keys';

export const AUTHENTICATE: InternalMethod = {
  protoFile: 'steward/internal/v1/keys.proto',
  service: 'steward.internal.v1.CredentialService',
  method: 'Authenticate',
};

/** The question of `Authenticate`; it is answered with an Authentication. */
export interface CredentialQuestion {
  readonly token: string;
  readonly atHead: boolean;
}

const ASK_MS_MAX = 2_000;

/**
 * Asks the keys service whose a token is, each time anew: an acceptance that were kept would outlive the key. Throws
 * KEYS_UNAVAILABLE, and what the keys service cannot tell (STALE, STORE_UNAVAILABLE).
 */
@Injectable()
export class RemoteCredentials extends CredentialVerifier {
  private readonly keys: Replicas;

  constructor(
    calls: InternalCalls,
    @Inject(CONFIG) config: Pick<AppConfig, 'keysGrpcUrls'>,
    @Inject(LOGGER) private readonly log: Pick<Logger, 'warn'>,
  ) {
    super();
    this.keys = new Replicas(calls, KEYS_SERVICE, config.keysGrpcUrls);
  }

  override async authenticate(token: string, atHead = false): Promise<Authentication> {
    const question: CredentialQuestion = { token, atHead };
    try {
      return (await this.keys.ask(AUTHENTICATE, question, ASK_MS_MAX)) as Authentication;
    } catch (err) {
      if (!(err instanceof NoReplicaAnswered)) throw err;
      this.log.warn({ err }, 'The keys service does not answer.');
      throw new Refusal('KEYS_UNAVAILABLE', 'Whose this credential is cannot be told now.', { retryAfterSeconds: 1 });
    }
  }
}

/** For a service that runs apart from the keys: StorageModule and TransportModule stand beside it. */
@Global()
@Module({
  imports: [InternalModule],
  providers: [{ provide: CredentialVerifier, useClass: RemoteCredentials }],
  exports: [CredentialVerifier],
})
export class RemoteCredentialsModule {}
