import { Global, Module, type OnModuleInit } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { IndexFollower } from '#libs/eventsourcing';
import { AccessIndex } from './access-index.js';
import { AuthThrottle } from './auth-throttle.js';
import { AuthGuard } from './auth.guard.js';
import { Gatekeeper } from './gatekeeper.js';
import { OidcVerifier } from '../oidc/oidc-verifier.js';
import { PrincipalResolver } from './principal-resolver.js';
import { Targets } from './target.js';
import { WhoamiController } from './whoami.controller.js';

/** The guard of every route. CredentialVerifier and KeyDirectory come from the keys service, or from a client of it. */
@Global()
@Module({
  controllers: [WhoamiController],
  providers: [
    AccessIndex,
    AuthThrottle,
    OidcVerifier,
    PrincipalResolver,
    Targets,
    Gatekeeper,
    { provide: APP_GUARD, useClass: AuthGuard },
  ],
  exports: [AccessIndex, AuthThrottle, OidcVerifier, PrincipalResolver, Targets, Gatekeeper],
})
export class AuthModule implements OnModuleInit {
  constructor(
    private readonly follower: IndexFollower,
    private readonly index: AccessIndex,
  ) {}

  onModuleInit(): void {
    this.follower.register(this.index);
  }
}
