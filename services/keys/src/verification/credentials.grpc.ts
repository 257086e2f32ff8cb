import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { IndexFollower, Refusal } from '#libs/eventsourcing';
import {
  type AppConfig,
  AUTHENTICATE,
  type Authentication,
  CONFIG,
  type CredentialQuestion,
  InternalDoor,
  KEYS_SERVICE,
} from '#libs/platform';
import { KeyVerifier } from './key-verifier.js';

/**
 * Tells the other services whose a caller's token is; the throttle is theirs, who see where the caller comes from. A
 * refusal is given only at the store's head; what cannot be told is refused with 503, so that another replica is asked.
 */
@Injectable()
export class CredentialsGrpc implements OnModuleInit {
  constructor(
    @Inject(InternalDoor) private readonly door: Pick<InternalDoor, 'serve'>,
    private readonly verifier: KeyVerifier,
    @Inject(IndexFollower) private readonly follower: Pick<IndexFollower, 'stalenessMs'>,
    @Inject(CONFIG) private readonly config: Pick<AppConfig, 'verifyStalenessMaxMs'>,
  ) {}

  onModuleInit(): void {
    this.door.serve(AUTHENTICATE, KEYS_SERVICE, ({ payload }) =>
      this.authenticate(JSON.parse(payload.toString('utf8')) as CredentialQuestion),
    );
  }

  private async authenticate({ token, atHead }: CredentialQuestion): Promise<Authentication> {
    if (this.follower.stalenessMs() > this.config.verifyStalenessMaxMs)
      throw new Refusal('STALE', 'The keys service has not heard from the event store for too long.', {
        retryAfterSeconds: 1,
      });
    const known = atHead ? undefined : this.verifier.authenticate(token);
    if (known !== undefined && (known.ok || known.code === 'MALFORMED')) return known;
    if (!(await this.verifier.reachHead()))
      throw new Refusal('STORE_UNAVAILABLE', 'Whether this credential is to be refused cannot be told now.', {
        retryAfterSeconds: 1,
      });
    const decided = this.verifier.authenticate(token);
    return decided.ok ? decided : { ...decided, isFinal: true };
  }
}
