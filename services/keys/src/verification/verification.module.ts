import { Global, Inject, Module, type OnModuleInit } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import type { Logger } from 'pino';
import { IndexFollower } from '#libs/eventsourcing';
import { CredentialVerifier, InternalModule, KeyDirectory, LOGGER } from '#libs/platform';
import { KeyUsageRecorder } from '../usage/key-usage.recorder.js';
import { CredentialsGrpc } from './credentials.grpc.js';
import { LookupController } from './lookup.controller.js';
import { KeyVerifier } from './key-verifier.js';
import { VerificationIndex } from './verification-index.js';
import { VerificationMetrics } from './verification-metrics.js';
import { VerificationRoutes } from './verification.routes.js';
import { VerifierGrpc } from './verifier.grpc.js';

/** Verification, and with it what the guard of every route in this process asks: whose is a token, whose is a key? */
@Global()
@Module({
  imports: [CqrsModule, InternalModule],
  controllers: [LookupController],
  providers: [
    {
      provide: VerificationIndex,
      useFactory: (metrics: VerificationMetrics, logger: Logger) =>
        new VerificationIndex((keyId) => {
          metrics.verifierMissing();
          logger.error({ keyId }, 'The data key of a verifier is missing without having been destroyed.');
        }),
      inject: [VerificationMetrics, LOGGER],
    },
    { provide: KeyDirectory, useExisting: VerificationIndex },
    { provide: CredentialVerifier, useExisting: KeyVerifier },
    CredentialsGrpc,
    KeyVerifier,
    KeyUsageRecorder,
    VerificationMetrics,
    VerificationRoutes,
    VerifierGrpc,
  ],
  exports: [CredentialVerifier, KeyDirectory, KeyVerifier, VerificationIndex],
})
export class VerificationModule implements OnModuleInit {
  constructor(
    @Inject(IndexFollower) private readonly follower: IndexFollower,
    private readonly index: VerificationIndex,
  ) {}

  onModuleInit(): void {
    this.follower.register(this.index);
  }
}
