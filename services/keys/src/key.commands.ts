import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { keyIdOfCommand, Refusal } from '#libs/eventsourcing';
import { INSTALLATION_KEY, type RequestContext } from '#libs/platform';
import type { KeyWish } from './domain/commands.js';
import { boundsOf, KeyFacts, type KeyPlaceIds, type OwnerWish } from './key-facts.js';
import { type KeyChanged, type KeyChangeWish, type KeyRequest, KeyWriter } from './key-writer.js';
import { type MadeSecret, NewSecrets } from './new-secrets.js';

/** The commands of one key and their handlers; those of many keys stand in key-bulk.ts and key-import.ts. */

/** The token, to be shown this once; null if the client has it, or if an earlier request was answered with it. */
export interface SecretAnswer extends KeyChanged {
  readonly secret: string | null;
  readonly code?: 'SECRET_ALREADY_RETURNED';
}

export interface ClientMade {
  readonly keyId: string;
  /** SHA-256 of the whole token. */
  readonly digest: Buffer;
}

export class CreateKeyCommand extends Command<SecretAnswer> {
  constructor(
    readonly place: KeyPlaceIds,
    readonly owner: OwnerWish,
    readonly wish: KeyWish,
    readonly clientMade: ClientMade | null,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export class RotateKeyCommand extends Command<SecretAnswer & { readonly retiresAt: string }> {
  constructor(
    readonly keyId: string,
    readonly overlapSeconds: number,
    /** SHA-256 of the client's own new token; null if Steward makes it. */
    readonly digest: Buffer | null,
    readonly context: RequestContext,
  ) {
    super();
  }
}

/** Edit, extend, retire a secret, disable, enable, revoke, delete or transfer a key. */
export class ChangeKeyCommand extends Command<KeyChanged> {
  constructor(
    readonly keyId: string,
    readonly wish: KeyChangeWish,
    readonly context: RequestContext,
    /** Free text, stored as a private part. */
    readonly comment: string | null = null,
  ) {
    super();
  }
}

export function requestOf(context: RequestContext, comment: string | null = null): KeyRequest {
  return {
    principal: context.principal,
    context: context.command({ comment }),
    expectedRevision: context.ifMatch,
  };
}

/** Only what this request itself made and stored is ever shown. */
function shown({ token }: MadeSecret, replayed: boolean): Pick<SecretAnswer, 'secret' | 'code'> {
  return replayed ? { secret: null, code: 'SECRET_ALREADY_RETURNED' } : { secret: token };
}

@CommandHandler(CreateKeyCommand)
export class CreateKeyHandler implements ICommandHandler<CreateKeyCommand> {
  constructor(
    private readonly writer: KeyWriter,
    private readonly facts: KeyFacts,
    private readonly secrets: NewSecrets,
    @Inject(INSTALLATION_KEY) private readonly installationKey: Buffer,
  ) {}

  async execute({ place, owner: wished, wish, clientMade, context }: CreateKeyCommand): Promise<SecretAnswer> {
    const request = requestOf(context);
    const keyId = clientMade?.keyId ?? keyIdOfCommand(this.installationKey, request.context.commandId);
    const made = this.secrets.make(wish.environment, keyId, clientMade?.digest ?? null);
    const { place: standing, owner } = await this.facts.ownerIn(place, wished, context.principal);
    const policy = this.facts.policyOf(place);
    const scopesBeyondOwner = this.facts.scopesBeyond(owner, wish.scopes);
    const servicesWithheld = await this.facts.servicesWithheld(place, owner, wish.scopes);
    const caller = boundsOf(context.principal);
    return this.facts.counted(place, policy, owner, keyId, async (counts) => {
      const facts = { place: standing, owner, scopesBeyondOwner, servicesWithheld, policy, counts, caller };
      const command = { type: 'CreateKey' as const, keyId, wish, secret: made.kept, facts };
      const { key, revision, position, replayed } = await this.writer.write(keyId, place, command, request);
      return { key, revision, position, ...shown(made, replayed) };
    });
  }
}

@CommandHandler(RotateKeyCommand)
export class RotateKeyHandler implements ICommandHandler<RotateKeyCommand> {
  constructor(
    private readonly writer: KeyWriter,
    private readonly secrets: NewSecrets,
  ) {}

  async execute({ keyId, overlapSeconds, digest, context }: RotateKeyCommand) {
    const { state } = await this.writer.fold(keyId);
    if (state.kind === 'absent') throw new Refusal('NOT_FOUND', 'There is no such key.');
    const made = this.secrets.make(state.environment, keyId, digest);
    const caller = boundsOf(context.principal);
    const command = { type: 'RotateKey' as const, overlapSeconds, secret: made.kept, caller };
    const place = this.writer.placeOf(keyId);
    const { key, revision, position, replayed, events } = await this.writer.write(
      keyId,
      place,
      command,
      requestOf(context),
    );
    const rotated = events.find((event) => event.type === 'KeyRotated');
    if (rotated === undefined) throw new Error(`The rotation of ${keyId} wrote no KeyRotated.`);
    return { key, revision, position, retiresAt: rotated.data.previousRetiresAt, ...shown(made, replayed) };
  }
}

@CommandHandler(ChangeKeyCommand)
export class ChangeKeyHandler implements ICommandHandler<ChangeKeyCommand> {
  constructor(private readonly writer: KeyWriter) {}

  async execute({ keyId, wish, context, comment }: ChangeKeyCommand): Promise<KeyChanged> {
    const { key, revision, position } = await this.writer.change(keyId, wish, requestOf(context, comment));
    return { key, revision, position };
  }
}

export const keyCommandHandlers = [CreateKeyHandler, RotateKeyHandler, ChangeKeyHandler];
