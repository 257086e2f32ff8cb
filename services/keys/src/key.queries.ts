import { Inject } from '@nestjs/common';
import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import type { Pool } from 'pg';
import { keyStream } from '#libs/contracts';
import { asRefusal, type Clock, type Ledger, Refusal } from '#libs/eventsourcing';
import {
  type AuditedEvent,
  auditForms,
  CLOCK,
  isActOf,
  LEDGER,
  type Page,
  pageOf,
  permits,
  placeOfCursor,
  POOL,
  ReadGate,
  type RequestContext,
} from '#libs/platform';
import { type KeyFilter, type KeyPage, readKeyPage } from './key-list.js';
import { type KeyChanged, KeyWriter } from './key-writer.js';
import type { KeySort } from './keys.dto.js';
import { KEY_LIST } from './projections/key-list.projection.js';

export interface KeyListWish {
  readonly filter: KeyFilter;
  readonly sort: KeySort;
  readonly limit: number;
  readonly cursor?: string | undefined;
  readonly count?: boolean | undefined;
}

export class ListKeysQuery extends Query<KeyPage> {
  constructor(
    readonly wish: KeyListWish,
    readonly context: RequestContext,
  ) {
    super();
  }
}

export class GetKeyQuery extends Query<KeyChanged> {
  constructor(readonly keyId: string) {
    super();
  }
}

export class KeyHistoryQuery extends Query<Page<AuditedEvent>> {
  constructor(
    readonly keyId: string,
    readonly page: { readonly limit: number; readonly cursor?: string | undefined },
    readonly context: RequestContext,
  ) {
    super();
  }
}

@QueryHandler(ListKeysQuery)
export class ListKeysHandler implements IQueryHandler<ListKeysQuery> {
  constructor(
    @Inject(POOL) private readonly pool: Pool,
    @Inject(CLOCK) private readonly clock: Clock,
    private readonly gate: ReadGate,
  ) {}

  async execute({ wish, context }: ListKeysQuery): Promise<KeyPage> {
    await this.gate.reach(context, KEY_LIST);
    return readKeyPage(this.pool, { ...wish, access: context.access, at: this.clock.now() });
  }
}

/** One key is read from the ledger itself, so the answer lags behind nothing. */
@QueryHandler(GetKeyQuery)
export class GetKeyHandler implements IQueryHandler<GetKeyQuery> {
  constructor(private readonly writer: KeyWriter) {}

  async execute({ keyId }: GetKeyQuery): Promise<KeyChanged> {
    const { state, ...at } = await this.writer.fold(keyId);
    if (state.kind === 'absent' || state.kind === 'deleted') throw new Refusal('NOT_FOUND', 'There is no such key.');
    return this.writer.answer(state, at);
  }
}

/** Who did what to the key and when, oldest first; it goes on when the key is deleted. */
@QueryHandler(KeyHistoryQuery)
export class KeyHistoryHandler implements IQueryHandler<KeyHistoryQuery> {
  constructor(
    @Inject(LEDGER) private readonly ledger: Ledger,
    private readonly writer: KeyWriter,
  ) {}

  async execute({ keyId, page: { limit, cursor }, context }: KeyHistoryQuery): Promise<Page<AuditedEvent>> {
    const { store, codec } = this.ledger;
    const { principal } = context;
    const identity = ['key-history', keyId];
    const from = Number(placeOfCursor(identity, cursor)?.id ?? 0) + 1;
    try {
      const stored = await store.readStream(keyStream(keyId), { from, limit: limit + 1 });
      const { tenantId, projectId } = this.writer.placeOf(keyId);
      // A right over all keys here is a right to know who changed them; an owner knows that of the own acts alone.
      const seesAll = permits(principal, 'keys:history', { tenantId, projectId });
      const items = await auditForms(codec, stored, {
        maySee: (part, event) => part === 'actor' && (seesAll || isActOf(event, principal)),
      });
      return pageOf(items, limit, identity, (last) => ({ values: [], id: String(last.revision) }));
    } catch (error) {
      throw asRefusal(error);
    }
  }
}

export const keyQueryHandlers = [ListKeysHandler, GetKeyHandler, KeyHistoryHandler];
