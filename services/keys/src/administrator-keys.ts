import { Inject, Injectable } from '@nestjs/common';
import { keyStream } from '#libs/contracts';
import { type CommandContext, keyIdOfCommand, type Ledger, runCommand } from '#libs/eventsourcing';
import { BootstrapKeys, INSTALLATION_KEY, LEDGER } from '#libs/platform';
import { keyDecider } from './domain/key.js';
import { noPolicy } from './domain/key-policy.js';
import { plainWish } from './key-wish.js';
import { NewSecrets } from './new-secrets.js';

/**
 * The key of the first administrator, made before there is anyone who could ask for one. It needs the ledger and no
 * index, so that the command line can make one beside the program.
 */
@Injectable()
export class AdministratorKeys extends BootstrapKeys {
  constructor(
    @Inject(LEDGER) private readonly ledger: Ledger,
    private readonly secrets: NewSecrets,
    @Inject(INSTALLATION_KEY) private readonly installationKey: Buffer,
  ) {
    super();
  }

  override async issue(principalId: string, context: CommandContext): Promise<string> {
    const keyId = keyIdOfCommand(this.installationKey, context.commandId);
    const made = this.secrets.make('live', keyId, null);
    const command = {
      type: 'CreateKey' as const,
      keyId,
      wish: { ...plainWish, name: principalId, canManageKeys: true, expiry: { kind: 'never' as const } },
      secret: made.kept,
      facts: {
        place: 'open' as const,
        owner: { type: 'service' as const, id: principalId, role: 'platform_admin' as const },
        scopesBeyondOwner: [],
        servicesWithheld: [],
        policy: noPolicy,
        counts: { owner: 0, project: 0 },
        caller: null,
      },
    };
    const { replayed } = await runCommand(this.ledger, {
      stream: keyStream(keyId),
      decider: keyDecider,
      command,
      scope: { tenantId: null, projectId: null },
      context,
    });
    if (made.token === null || replayed) throw new Error(`The key ${keyId} was made before and cannot be shown again.`);
    return made.token;
  }
}
