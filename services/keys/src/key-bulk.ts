import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import type { Pool } from 'pg';
import { type ErrorCode, errorCodes } from '#libs/contracts';
import { type Clock, Refusal } from '#libs/eventsourcing';
import {
  type Action,
  CLOCK,
  Gatekeeper,
  type Logger,
  LOGGER,
  POOL,
  ReadGate,
  refusalOf,
  type RequestContext,
  Targets,
  type Verdict,
} from '#libs/platform';
import { BulkSelections } from './bulk-selections.js';
import { inParallel } from './in-parallel.js';
import { requestOf } from './key.commands.js';
import { type KeyFilter, matchingKeyIds } from './key-list.js';
import { type KeyChangeWish, type KeyRequest, KeyWriter } from './key-writer.js';
import { BULK_IDS_MAX } from './keys.dto.js';
import type { KeyView } from './keys.views.js';
import { KEY_LIST } from './projections/key-list.projection.js';

/** How many keys of a bulk are changed at once: enough to share commits, and room for everybody else. */
const CONCURRENCY_MAX = 16;

export type BulkWish = Extract<
  KeyChangeWish,
  { type: 'DeleteKey' | 'ExtendKey' | 'DisableKey' | 'EnableKey' | 'RevokeKey' }
>;

export type BulkSelection =
  { readonly ids: readonly string[] } | { readonly filter: KeyFilter; readonly expectedCount: number };

export interface BulkResult {
  readonly id: string;
  /** An HTTP status. */
  readonly status: number;
  readonly code?: ErrorCode;
  readonly key?: KeyView;
}

export interface BulkAnswer {
  readonly results: readonly BulkResult[];
  readonly correlationId: string;
}

/**
 * One change of many keys, each for itself: what one refuses, the others do all the same. All of them bear the request's
 * commandId, so a repeated request with its Idempotency-Key answers for each key what was done, and goes by the keys that its filter
 * chose the first time.
 */
export class BulkChangeKeysCommand extends Command<BulkAnswer> {
  constructor(
    readonly selection: BulkSelection,
    readonly wish: BulkWish,
    /** True if nothing is to be written. */
    readonly dryRun: boolean,
    readonly comment: string | null,
    readonly context: RequestContext,
  ) {
    super();
  }
}

const actionOf: Readonly<Record<BulkWish['type'], Action>> = {
  DeleteKey: 'keys:delete',
  ExtendKey: 'keys:update',
  DisableKey: 'keys:update',
  EnableKey: 'keys:update',
  RevokeKey: 'keys:revoke',
};

const codeOf: Readonly<Record<Exclude<Verdict, 'permitted'>, ErrorCode>> = {
  'not-found': 'NOT_FOUND',
  forbidden: 'FORBIDDEN',
  'key-cannot-manage-keys': 'KEY_CANNOT_MANAGE_KEYS',
};

const refusedWith = (id: string, code: ErrorCode): BulkResult => ({ id, status: errorCodes[code].status, code });

@CommandHandler(BulkChangeKeysCommand)
export class BulkChangeKeysHandler implements ICommandHandler<BulkChangeKeysCommand> {
  constructor(
    private readonly writer: KeyWriter,
    private readonly selections: BulkSelections,
    private readonly gatekeeper: Gatekeeper,
    private readonly targets: Targets,
    private readonly gate: ReadGate,
    @Inject(POOL) private readonly pool: Pool,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  async execute({ selection, wish, dryRun, comment, context }: BulkChangeKeysCommand): Promise<BulkAnswer> {
    const asked = requestOf(context, comment);
    const ids = await this.idsOf(selection, dryRun, asked, context);
    const verdicts = await this.gatekeeper.verdicts(
      context,
      actionOf[wish.type],
      ids.map((id) => () => this.targets.key(id)),
    );
    // If-Match speaks of one key.
    const request = { ...asked, expectedRevision: undefined };
    const results = await inParallel(ids, CONCURRENCY_MAX, (id, n) => {
      const verdict = verdicts[n] ?? 'not-found';
      return verdict === 'permitted' ? this.changeOne(id, wish, dryRun, request) : refusedWith(id, codeOf[verdict]);
    });
    return { results, correlationId: request.context.correlationId };
  }

  private async idsOf(
    selection: BulkSelection,
    dryRun: boolean,
    request: KeyRequest,
    context: RequestContext,
  ): Promise<readonly string[]> {
    if ('ids' in selection) return [...new Set(selection.ids)];
    const matching = (): Promise<string[]> => this.matching(selection, context);
    return dryRun ? matching() : this.selections.chosen(request.context, matching);
  }

  private async matching(
    { filter, expectedCount }: Extract<BulkSelection, { filter: KeyFilter }>,
    context: RequestContext,
  ): Promise<string[]> {
    await this.gate.reach(context, KEY_LIST);
    const wanted = { access: context.access, filter, at: this.clock.now() };
    const ids = await matchingKeyIds(this.pool, wanted, BULK_IDS_MAX);
    if (ids.length === expectedCount) return ids;
    const count = ids.length > BULK_IDS_MAX ? `more than ${BULK_IDS_MAX}` : String(ids.length);
    throw new Refusal('COUNT_MISMATCH', `The filter matches ${count} keys, not ${expectedCount}.`);
  }

  private async changeOne(id: string, wish: BulkWish, dryRun: boolean, request: KeyRequest): Promise<BulkResult> {
    try {
      const { key } = dryRun
        ? await this.writer.rehearse(id, wish, request.principal)
        : await this.writer.change(id, wish, request);
      return { id, status: 200, key };
    } catch (error) {
      const { code } = refusalOf(error);
      if (code === 'INTERNAL') this.logger.error({ err: error, keyId: id }, 'A key of a bulk could not be changed.');
      return refusedWith(id, code);
    }
  }
}
