import { Injectable, type OnModuleInit } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { Refusal } from '#libs/eventsourcing';
import {
  type Action,
  Gatekeeper,
  GrpcServer,
  readFields,
  type RequestContext,
  Targets,
  unary,
  type UnaryMethod,
} from '#libs/platform';
import { BulkChangeKeysCommand } from './key-bulk.js';
import {
  bulkMessage,
  fieldsOf,
  historyMessage,
  keyMessage,
  listMessage,
  patchOf,
  secretMessage,
} from './key-messages.js';
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
import { ChangeKeyCommand, CreateKeyCommand, RotateKeyCommand } from './key.commands.js';
import { GetKeyQuery, KeyHistoryQuery, ListKeysQuery } from './key.queries.js';
import {
  BulkKeysBody,
  CreateKeyBody,
  CreatePrincipalKeyBody,
  ExtendKeyBody,
  HistoryQuery,
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
import { usageMethods } from './usage/usage.grpc.js';
import { KeyVerifier } from './verification/key-verifier.js';
import { LookupBody } from './verification/lookup.controller.js';

type Methods = Readonly<Record<string, UnaryMethod>>;

const read = <T extends object>(type: new () => T, fields: object): T => readFields(type, fields, 'request');

function answered(context: RequestContext, { revision, position }: KeyChanged, message: object): object {
  context.answered({ revision, position });
  return message;
}

/** The commands and queries of the HTTP routes over gRPC (steward.v1.KeyService). */
@Injectable()
export class KeysGrpc implements OnModuleInit {
  constructor(
    private readonly server: GrpcServer,
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    private readonly gatekeeper: Gatekeeper,
    private readonly targets: Targets,
    private readonly verifier: KeyVerifier,
  ) {}

  onModuleInit(): void {
    this.server.addService('steward/v1/keys.proto', 'steward.v1.KeyService', {
      ...this.creations(),
      ...this.reads(),
      ...this.secrets(),
      ...this.changes(),
      ...this.many(),
      ...usageMethods(this.queries),
    });
  }

  private creations(): Methods {
    return {
      createKey: unary('keys:create', 'deferred', async (request, context) => {
        const { projectId: id, ...fields } = fieldsOf(request);
        const { projectId } = read(ProjectPath, { projectId: id });
        const body = read(CreateKeyBody, fields);
        const owner = ownerOf(body, context.principal);
        const { tenantId } = await this.gatekeeper.authorize(context, 'keys:create', () =>
          this.targets.ownedBy(projectId, owner),
        );
        const place = { tenantId, projectId };
        return this.create(new CreateKeyCommand(place, owner, wishOf(body), clientMadeOf(body), context));
      }),
      createPrincipalKey: unary('keys:create', 'principal', (request, context) => {
        const { principalId: id, ...fields } = fieldsOf(request);
        const { principalId } = read(PrincipalPath, { principalId: id });
        const wish = wishOf(read(CreatePrincipalKeyBody, fields));
        const target = this.targets.principal(principalId);
        if (target?.owner === undefined) throw new Refusal('NOT_FOUND', 'There is no such principal.');
        const place = { tenantId: target.tenantId, projectId: null };
        return this.create(new CreateKeyCommand(place, target.owner, wish, null, context));
      }),
    };
  }

  private reads(): Methods {
    return {
      getKey: unary('keys:read', 'key', (request, context) =>
        this.get(read(KeyPath, fieldsOf(request)).keyId, context),
      ),
      lookupKey: unary('keys:lookup', 'list', async (request, context) => {
        const keyId = await this.verifier.find(read(LookupBody, fieldsOf(request)).token);
        await this.gatekeeper.authorize(context, 'keys:lookup', () => this.targets.key(keyId));
        return this.get(keyId, context);
      }),
      listKeys: unary('keys:read', 'list', async (request, context) => {
        const { limit, cursor, sort, count, ...filter } = read(ListKeysParameters, fieldsOf(request));
        return listMessage(
          await this.queries.execute(new ListKeysQuery({ filter, sort, limit, cursor, count }, context)),
        );
      }),
      getKeyHistory: this.ofKey('keys:history', HistoryQuery, async (keyId, page, context) =>
        historyMessage(await this.queries.execute(new KeyHistoryQuery(keyId, page, context))),
      ),
    };
  }

  private secrets(): Methods {
    return {
      rotateKey: this.ofKey('keys:update', RotateKeyBody, async (keyId, { overlapSeconds, secretDigest }, context) => {
        const digest = secretDigest === undefined ? null : Buffer.from(secretDigest, 'hex');
        const done = await this.commands.execute(new RotateKeyCommand(keyId, overlapSeconds, digest, context));
        return answered(context, done, { ...secretMessage(done), retiresAt: done.retiresAt });
      }),
      retireSecret: this.ofKey('keys:update', RetireSecretBody, (keyId, { version }, context) =>
        this.change(keyId, { type: 'RetireSecret', version }, context),
      ),
    };
  }

  private changes(): Methods {
    const plain = (action: Action, type: 'DisableKey' | 'EnableKey' | 'DeleteKey'): UnaryMethod =>
      unary(action, 'key', (request, context) =>
        this.change(read(KeyPath, fieldsOf(request)).keyId, { type }, context),
      );
    return {
      updateKey: unary('keys:update', 'key', (request, context) => {
        const { keyId, ...fields } = fieldsOf(request);
        const edits = editsOf(read(UpdateKeyBody, patchOf(fields)));
        return this.change(read(KeyPath, { keyId }).keyId, { type: 'UpdateKey', edits }, context);
      }),
      extendKey: this.ofKey('keys:update', ExtendKeyBody, (keyId, body, context) =>
        this.change(keyId, { type: 'ExtendKey', by: extensionOf(body) }, context),
      ),
      disableKey: plain('keys:update', 'DisableKey'),
      enableKey: plain('keys:update', 'EnableKey'),
      deleteKey: plain('keys:delete', 'DeleteKey'),
      revokeKey: this.ofKey('keys:revoke', RevokeKeyBody, (keyId, { reason, comment = null }, context) =>
        this.change(keyId, { type: 'RevokeKey', reason }, context, comment),
      ),
      transferKey: this.ofKey('keys:transfer', TransferKeyBody, async (keyId, body, context) => {
        const owner = newOwnerOf(body);
        // Whoever holds the secret acts as the new owner from now on, so the caller must be able to give keys to that one.
        await this.gatekeeper.authorize(context, 'keys:transfer', () => {
          const key = this.targets.key(keyId);
          return key && { ...key, owner };
        });
        return this.change(keyId, { type: 'TransferKey', owner }, context);
      }),
    };
  }

  private many(): Methods {
    return {
      bulkChangeKeys: unary('keys:bulk', 'deferred', async (request, context) => {
        const body = read(BulkKeysBody, fieldsOf(request));
        const { dryRun = false, comment = null } = body;
        return bulkMessage(
          await this.commands.execute(
            new BulkChangeKeysCommand(selectionOf(body), bulkWishOf(body), dryRun, comment, context),
          ),
        );
      }),
    };
  }

  /** A method of one key that `keyId` names; the other fields are those of `type`. */
  private ofKey<Body extends object>(
    action: Action,
    type: new () => Body,
    handle: (keyId: string, body: Body, context: RequestContext) => Promise<object>,
  ): UnaryMethod {
    return unary(action, 'key', (request, context) => {
      const { keyId, ...fields } = fieldsOf(request);
      return handle(read(KeyPath, { keyId }).keyId, read(type, fields), context);
    });
  }

  private async get(keyId: string, context: RequestContext): Promise<object> {
    const found = await this.queries.execute(new GetKeyQuery(keyId));
    return answered(context, found, keyMessage(found.key));
  }

  private async create(command: CreateKeyCommand): Promise<object> {
    const done = await this.commands.execute(command);
    return answered(command.context, done, secretMessage(done));
  }

  private async change(
    keyId: string,
    wish: KeyChangeWish,
    context: RequestContext,
    comment: string | null = null,
  ): Promise<object> {
    const done = await this.commands.execute(new ChangeKeyCommand(keyId, wish, context, comment));
    return answered(context, done, keyMessage(done.key));
  }
}
