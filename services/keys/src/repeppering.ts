import { Global, Inject, Injectable, Module, type OnApplicationShutdown } from '@nestjs/common';
import { CommandBus, CqrsModule } from '@nestjs/cqrs';
import { KeyDirectory, type Logger, LOGGER, PEPPERS } from '#libs/platform';
import type { Peppers } from '#libs/postgres';
import { contextOfTime, TimeCommand } from './expiry.scheduler.js';
import { type VerifierUpgrade, VerifierUpgrades } from './verification/verifier-upgrades.js';

/** Offers beyond this are dropped; the next use of the key offers it again. */
const QUEUE_MAX = 10_000;

/** Peppers verifiers anew, one at a time, so that a changed pepper never slows verification down. */
@Injectable()
export class Repeppering extends VerifierUpgrades implements OnApplicationShutdown {
  private readonly queue = new Map<string, VerifierUpgrade>();
  private working: Promise<void> | undefined;
  private stopped = false;

  constructor(
    private readonly commands: CommandBus,
    private readonly directory: KeyDirectory,
    @Inject(PEPPERS) private readonly peppers: Peppers,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    super();
  }

  override offer(upgrade: VerifierUpgrade): void {
    if (this.stopped || this.queue.size >= QUEUE_MAX) return;
    this.queue.set(`${upgrade.keyId}/${upgrade.version}`, upgrade);
    this.working ??= this.work().finally(() => {
      this.working = undefined;
    });
  }

  async onApplicationShutdown(): Promise<void> {
    this.stopped = true;
    this.queue.clear();
    await this.working;
  }

  private async work(): Promise<void> {
    for (const [name, upgrade] of this.queue) {
      try {
        await this.upgrade(upgrade);
      } catch (err) {
        this.logger.warn(
          { err, keyId: upgrade.keyId },
          'A verifier was not peppered anew; its next use offers it again.',
        );
      }
      // Removed only now, so that uses in the meantime do not queue it twice.
      this.queue.delete(name);
    }
  }

  private async upgrade({ keyId, version, fromPepper, digest }: VerifierUpgrade): Promise<void> {
    const place = this.directory.find(keyId);
    const to = this.peppers.current;
    const hmac = this.peppers.hmac(to, digest)?.toString('hex');
    if (place === undefined || hmac === undefined || to === fromPepper) return;
    const context = contextOfTime('repeppering', keyId, 'verifier-upgrade', String(version), to);
    const command = { type: 'UpgradeVerifier' as const, version, from: fromPepper, to, hmac };
    await this.commands.execute(new TimeCommand(keyId, place, command, context));
  }
}

/** Global, because verification offers without knowing who takes. */
@Global()
@Module({
  imports: [CqrsModule],
  providers: [{ provide: VerifierUpgrades, useClass: Repeppering }],
  exports: [VerifierUpgrades],
})
export class RepepperingModule {}
