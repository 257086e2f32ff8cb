import { Inject, Injectable } from '@nestjs/common';
import { type CommandContext, keyIdOfCommand } from '#libs/eventsourcing';
import { BootstrapKeys, INSTALLATION_KEY } from '#libs/platform';
import { noPolicy } from './domain/key-policy.js';
import { plainWish } from './key-wish.js';
import { KeyWriter } from './key-writer.js';
import { NewSecrets } from './new-secrets.js';

/** The key of the first administrator, made before there is anyone who could ask for one. */
@Injectable()
export class AdministratorKeys extends BootstrapKeys {
  constructor(
    private readonly writer: KeyWriter,
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
        policy: noPolicy,
        counts: { owner: 0, project: 0 },
        caller: null,
      },
    };
    const { replayed } = await this.writer.write(keyId, { tenantId: null, projectId: null }, command, { context });
    if (made.token === null || replayed) throw new Error(`The key ${keyId} was made before and cannot be shown again.`);
    return made.token;
  }
}
