import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { ApiCreatedResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Refusal } from '#libs/eventsourcing';
import {
  type AuditedEvent,
  AuditedEventList,
  Context,
  Gatekeeper,
  ndjsonLines,
  type Page,
  type RequestContext,
  Requires,
  Streamed,
  TakesBulkBody,
  Targets,
} from '#libs/platform';
import { type BulkAnswer, BulkChangeKeysCommand } from './key-bulk.js';
import { type ImportAnswer, ImportKeysCommand } from './key-import.js';
import type { KeyPage } from './key-list.js';
import {
  bulkWishOf,
  clientMadeOf,
  editsOf,
  extensionOf,
  newOwnerOf,
  ownerOf,
  selectionOf,
  wishOf,
} from './key-wish.js';
import type { KeyChanged, KeyChangeWish } from './key-writer.js';
import { ChangeKeyCommand, CreateKeyCommand, RotateKeyCommand, type SecretAnswer } from './key.commands.js';
import { GetKeyQuery, KeyHistoryQuery, ListKeysQuery } from './key.queries.js';
import {
  BulkKeysBody,
  CreateKeyBody,
  CreatePrincipalKeyBody,
  ExtendKeyBody,
  HistoryQuery,
  ImportKeysQuery,
  KeyPath,
  ListKeysQuery as ListKeysParameters,
  PrincipalPath,
  ProjectPath,
  RetireSecretBody,
  RevokeKeyBody,
  RotateKeyBody,
  TransferKeyBody,
  UpdateKeyBody,
} from './keys.dto.js';
import { BulkKeysView, CreatedKeyView, ImportedKeysView, KeyList, KeyView, RotatedKeyView } from './keys.views.js';

/** What a caller is shown of a change; everything else of it stands in the headers. */
function answered<View>(
  context: RequestContext,
  { revision, position }: KeyChanged,
  view: View,
  status?: number,
): View {
  context.answered({ revision, position, ...(status === undefined ? {} : { status }) });
  return view;
}

@ApiTags('keys')
@Controller('/v1')
export class KeysController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    private readonly gatekeeper: Gatekeeper,
    private readonly targets: Targets,
  ) {}

  @Post('projects/:projectId/keys')
  @Requires('keys:create', 'deferred')
  @ApiCreatedResponse({ type: CreatedKeyView })
  async create(
    @Param() { projectId }: ProjectPath,
    @Body() body: CreateKeyBody,
    @Context() context: RequestContext,
  ): Promise<CreatedKeyView> {
    const owner = ownerOf(body, context.principal);
    const { tenantId } = await this.gatekeeper.authorize(context, 'keys:create', () =>
      this.targets.ownedBy(projectId, owner),
    );
    const place = { tenantId, projectId };
    return this.created(new CreateKeyCommand(place, owner, wishOf(body), clientMadeOf(body), context));
  }

  /** A key without project, which acts as the principal itself. */
  @Post('principals/:principalId/keys')
  @Requires('keys:create', 'principal')
  @ApiCreatedResponse({ type: CreatedKeyView })
  async createForPrincipal(
    @Param() { principalId }: PrincipalPath,
    @Body() body: CreatePrincipalKeyBody,
    @Context() context: RequestContext,
  ): Promise<CreatedKeyView> {
    const target = this.targets.principal(principalId);
    if (target?.owner === undefined) throw new Refusal('NOT_FOUND', 'There is no such principal.');
    const place = { tenantId: target.tenantId, projectId: null };
    return this.created(new CreateKeyCommand(place, target.owner, wishOf(body), null, context));
  }

  @Get('keys')
  @Requires('keys:read', 'list')
  @ApiOkResponse({ type: KeyList })
  list(@Query() query: ListKeysParameters, @Context() context: RequestContext): Promise<KeyPage> {
    const { limit, cursor, sort, count, ...filter } = query;
    return this.queries.execute(new ListKeysQuery({ filter, sort, limit, cursor, count }, context));
  }

  @Get('projects/:projectId/keys')
  @Requires('keys:read', 'list')
  @ApiOkResponse({ type: KeyList })
  listOfProject(
    @Param() { projectId }: ProjectPath,
    @Query() query: ListKeysParameters,
    @Context() context: RequestContext,
  ): Promise<KeyPage> {
    const { limit, cursor, sort, count, ...filter } = query;
    return this.queries.execute(
      new ListKeysQuery({ filter: { ...filter, projectId }, sort, limit, cursor, count }, context),
    );
  }

  @Get('keys/:keyId')
  @Requires('keys:read', 'key')
  @ApiOkResponse({ type: KeyView })
  async get(@Param() { keyId }: KeyPath, @Context() context: RequestContext): Promise<KeyView> {
    const found = await this.queries.execute(new GetKeyQuery(keyId));
    return answered(context, found, found.key);
  }

  @Get('keys/:keyId/history')
  @Requires('keys:history', 'key')
  @ApiOkResponse({ type: AuditedEventList })
  history(
    @Param() { keyId }: KeyPath,
    @Query() page: HistoryQuery,
    @Context() context: RequestContext,
  ): Promise<Page<AuditedEvent>> {
    return this.queries.execute(new KeyHistoryQuery(keyId, page, context));
  }

  @Patch('keys/:keyId')
  @Requires('keys:update', 'key')
  @ApiOkResponse({ type: KeyView })
  update(
    @Param() { keyId }: KeyPath,
    @Body() body: UpdateKeyBody,
    @Context() context: RequestContext,
  ): Promise<KeyView> {
    return this.changed(keyId, { type: 'UpdateKey', edits: editsOf(body) }, context);
  }

  @Post('keys/:keyId/extend')
  @HttpCode(200)
  @Requires('keys:update', 'key')
  @ApiOkResponse({ type: KeyView })
  extend(
    @Param() { keyId }: KeyPath,
    @Body() body: ExtendKeyBody,
    @Context() context: RequestContext,
  ): Promise<KeyView> {
    return this.changed(keyId, { type: 'ExtendKey', by: extensionOf(body) }, context);
  }

  @Post('keys/:keyId/rotate')
  @HttpCode(200)
  @Requires('keys:update', 'key')
  @ApiOkResponse({ type: RotatedKeyView })
  async rotate(
    @Param() { keyId }: KeyPath,
    @Body() { overlapSeconds, secretDigest }: RotateKeyBody,
    @Context() context: RequestContext,
  ): Promise<RotatedKeyView> {
    const digest = secretDigest === undefined ? null : Buffer.from(secretDigest, 'hex');
    const done = await this.commands.execute(new RotateKeyCommand(keyId, overlapSeconds, digest, context));
    const { retiresAt } = done;
    return answered(context, done, { ...shownOf(done), retiresAt });
  }

  @Post('keys/:keyId/retire-secret')
  @HttpCode(200)
  @Requires('keys:update', 'key')
  @ApiOkResponse({ type: KeyView })
  retireSecret(
    @Param() { keyId }: KeyPath,
    @Body() { version }: RetireSecretBody,
    @Context() context: RequestContext,
  ): Promise<KeyView> {
    return this.changed(keyId, { type: 'RetireSecret', version }, context);
  }

  @Post('keys/:keyId/disable')
  @HttpCode(200)
  @Requires('keys:update', 'key')
  @ApiOkResponse({ type: KeyView })
  disable(@Param() { keyId }: KeyPath, @Context() context: RequestContext): Promise<KeyView> {
    return this.changed(keyId, { type: 'DisableKey' }, context);
  }

  @Post('keys/:keyId/enable')
  @HttpCode(200)
  @Requires('keys:update', 'key')
  @ApiOkResponse({ type: KeyView })
  enable(@Param() { keyId }: KeyPath, @Context() context: RequestContext): Promise<KeyView> {
    return this.changed(keyId, { type: 'EnableKey' }, context);
  }

  @Post('keys/:keyId/revoke')
  @HttpCode(200)
  @Requires('keys:revoke', 'key')
  @ApiOkResponse({ type: KeyView })
  revoke(
    @Param() { keyId }: KeyPath,
    @Body() { reason, comment = null }: RevokeKeyBody,
    @Context() context: RequestContext,
  ): Promise<KeyView> {
    return this.changed(keyId, { type: 'RevokeKey', reason }, context, comment);
  }

  @Post('keys/:keyId/transfer')
  @HttpCode(200)
  @Requires('keys:transfer', 'key')
  @ApiOkResponse({ type: KeyView })
  async transfer(
    @Param() { keyId }: KeyPath,
    @Body() body: TransferKeyBody,
    @Context() context: RequestContext,
  ): Promise<KeyView> {
    const owner = newOwnerOf(body);
    // Whoever holds the secret acts as the new owner from now on, so the caller must be able to give keys to that one.
    await this.gatekeeper.authorize(context, 'keys:transfer', () => {
      const key = this.targets.key(keyId);
      return key && { ...key, owner };
    });
    return this.changed(keyId, { type: 'TransferKey', owner }, context);
  }

  @Delete('keys/:keyId')
  @Requires('keys:delete', 'key')
  @ApiOkResponse({ type: KeyView })
  remove(@Param() { keyId }: KeyPath, @Context() context: RequestContext): Promise<KeyView> {
    return this.changed(keyId, { type: 'DeleteKey' }, context);
  }

  @Post('keys/bulk')
  @HttpCode(200)
  @TakesBulkBody()
  @Requires('keys:bulk', 'deferred')
  @ApiOkResponse({ type: BulkKeysView })
  bulk(@Body() body: BulkKeysBody, @Context() context: RequestContext): Promise<BulkAnswer> {
    const { dryRun = false, comment = null } = body;
    return this.commands.execute(
      new BulkChangeKeysCommand(selectionOf(body), bulkWishOf(body), dryRun, comment, context),
    );
  }

  @Post('keys/import')
  @HttpCode(200)
  @Streamed()
  @Requires('keys:import', 'deferred')
  @ApiOkResponse({ type: ImportedKeysView })
  import(
    @Body() body: unknown,
    @Query() { dryRun = false }: ImportKeysQuery,
    @Context() context: RequestContext,
  ): Promise<ImportAnswer> {
    return this.commands.execute(new ImportKeysCommand(ndjsonLines(body), dryRun, context));
  }

  private async created(command: CreateKeyCommand): Promise<CreatedKeyView> {
    const done = await this.commands.execute(command);
    return answered(command.context, done, shownOf(done), 201);
  }

  private async changed(
    keyId: string,
    wish: KeyChangeWish,
    context: RequestContext,
    comment: string | null = null,
  ): Promise<KeyView> {
    const done = await this.commands.execute(new ChangeKeyCommand(keyId, wish, context, comment));
    return answered(context, done, done.key);
  }
}

const shownOf = ({ key, secret, code }: SecretAnswer): Pick<CreatedKeyView, 'key' | 'secret' | 'code'> => ({
  key,
  secret,
  ...(code === undefined ? {} : { code }),
});
