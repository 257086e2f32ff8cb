import { Inject, Injectable } from '@nestjs/common';
import {
  asRefusal,
  type EventFilter,
  IndexFollower,
  type Ledger,
  type Position,
  Refusal,
  type StoredEvent,
} from '#libs/eventsourcing';
import {
  type AuditedEvent,
  auditForms,
  cursorOf,
  Gatekeeper,
  KeyDirectory,
  LEDGER,
  type Page,
  placeOfCursor,
  READ_WAIT_MS_MAX,
  Readiness,
  type RequestContext,
  RequestContexts,
  Targets,
} from '#libs/platform';
import type { HistoryFilter } from './audit.dto.js';
import { isVisible, maySee, narrowed } from './visibility.js';

interface Wanted {
  readonly after: Position;
  readonly until: Position;
  readonly filter: EventFilter;
  readonly actorType: string | undefined;
}

interface Found {
  readonly events: StoredEvent[];
  readonly position: Position;
  readonly caughtUp: boolean;
}

const REPLAY_PAGE = 250;
/** Past it a page answers what it has, and its cursor goes on from there. */
const PAGE_MS_MAX = 5_000;
const REPLAYS_MAX = 32;
/** The store's connections for reads are those that commands begin with, so most of them stay free for these. */
const READS_MAX = 2;

/** The history that a reader may see, from the log itself: it lags behind nothing. */
@Injectable()
export class HistoryReader {
  private readonly waiting: (() => void)[] = [];
  private reads = 0;
  private replays = 0;

  constructor(
    @Inject(LEDGER) private readonly ledger: Ledger,
    private readonly gatekeeper: Gatekeeper,
    private readonly targets: Targets,
    private readonly contexts: RequestContexts,
    private readonly keys: KeyDirectory,
    private readonly follower: IndexFollower,
    private readonly readiness: Readiness,
  ) {}

  /** A page may have fewer events than its limit although there are more, so that none takes long. */
  async page(
    wish: HistoryFilter,
    { limit, cursor }: { readonly limit: number; readonly cursor?: string | undefined },
    context: RequestContext,
  ): Promise<Page<AuditedEvent>> {
    const { principal } = context;
    const { raw = false, ...filters } = wish;
    const identity = ['audit-events', { ...filters }, principal.type, principal.id];
    const place = placeOfCursor(identity, cursor)?.id;
    if (place !== undefined && !this.ledger.store.isPosition(place))
      throw new Refusal('CURSOR_INVALID', 'Begin again without the cursor.');
    try {
      const wanted = await this.wanted(wish, context);
      const endMs = performance.now() + PAGE_MS_MAX;
      const events: StoredEvent[] = [];
      let position = later(place, wanted.after);
      let caughtUp = false;
      while (!caughtUp && events.length <= limit && performance.now() < endMs) {
        const found = await this.find(wanted, position, limit + 1 - events.length, context);
        events.push(...found.events);
        ({ position, caughtUp } = found);
      }
      const data = await this.forms(events.slice(0, limit), context, raw);
      const next = events.length > limit ? data.at(-1)?.position : caughtUp ? undefined : position;
      const nextCursor = next === undefined ? null : cursorOf(identity, { values: [], id: next });
      return { data, page: { nextCursor, hasMore: nextCursor !== null } };
    } catch (error) {
      throw asRefusal(error);
    }
  }

  /** Up to what stood in the log when it began, in batches that are read as they are taken. */
  async *replay(wish: HistoryFilter, context: RequestContext): AsyncGenerator<AuditedEvent[], void, undefined> {
    if (this.replays >= REPLAYS_MAX)
      throw new Refusal('OVERLOADED', 'Too many histories are being replayed.', { retryAfterSeconds: 5 });
    this.replays += 1;
    try {
      const wanted = await this.wanted(wish, context);
      let position = wanted.after;
      for (let caughtUp = false; !caughtUp;) {
        if (this.readiness.drainSignal.aborted)
          throw new Refusal('STORE_UNAVAILABLE', 'This process is going down.', { retryAfterSeconds: 1 });
        const found = await this.find(wanted, position, REPLAY_PAGE, context);
        ({ position, caughtUp } = found);
        yield await this.forms(found.events, context, wish.raw ?? false);
      }
    } catch (error) {
      throw asRefusal(error);
    } finally {
      this.replays -= 1;
    }
  }

  /** Throws NOT_FOUND or FORBIDDEN for a place that the reader has no part in: an empty history would mislead. */
  private async wanted(wish: HistoryFilter, context: RequestContext): Promise<Wanted> {
    const { tenantId, projectId, stream, type, actor, correlationId, after, until, from, to } = wish;
    for (const place of [{ tenantId }, { projectId }])
      if (Object.values(place).some((id) => id !== undefined))
        await this.gatekeeper.authorize(context, 'audit:read', () =>
          this.targets.resolve('list', place, context.principal),
        );
    await this.contexts.position({ 'query.after': after });
    await this.contexts.position({ 'query.until': until });

    const { store } = this.ledger;
    const begin = from === undefined ? store.origin : await store.positionAt(new Date(Date.parse(from) - 1));
    const head = await store.head();
    const end = to === undefined ? head : await store.positionAt(new Date(to));
    const [actorId, actorType] = (actor ?? '').split(':').reverse();
    const { visible } = context.access;
    // Whose a key is stands in this process's index, which must know every event that it is asked about.
    if (visible.some(({ kind }) => kind === 'own') && !(await this.follower.waitFor(head, READ_WAIT_MS_MAX)))
      throw new Refusal('PROJECTION_LAG', `This process has not reached position ${head} within 2 s.`, {
        retryAfterSeconds: 1,
      });
    const filter = {
      ...(tenantId === undefined ? {} : { tenantId }),
      ...(projectId === undefined ? {} : { projectId }),
      ...(stream === undefined ? {} : { stream }),
      ...(type === undefined ? {} : { types: type }),
      ...(actor === undefined || actorId === undefined ? {} : { actorId }),
      ...(correlationId === undefined ? {} : { correlationId }),
    };
    return {
      after: later(after, begin),
      until: [head, end, until ?? head].sort()[0] ?? head,
      filter: narrowed(filter, visible),
      actorType,
    };
  }

  private async find(wanted: Wanted, after: Position, limit: number, { access }: RequestContext): Promise<Found> {
    const { until, filter, actorType } = wanted;
    const { events, position, caughtUp } = await this.inTurn(() =>
      this.ledger.store.readAll({ after, until, limit, filter }),
    );
    return {
      events: events.filter(
        (event) =>
          isVisible(event, access.visible, (keyId) => this.keys.find(keyId)) &&
          (actorType === undefined || this.ledger.codec.decode(event).actor.type === actorType),
      ),
      position,
      caughtUp,
    };
  }

  private forms(events: readonly StoredEvent[], { principal }: RequestContext, raw: boolean): Promise<AuditedEvent[]> {
    return auditForms(this.ledger.codec, events, { maySee: (part, event) => maySee(principal, part, event), raw });
  }

  private async inTurn<Result>(read: () => Promise<Result>): Promise<Result> {
    if (this.reads >= READS_MAX) await new Promise<void>((resolve) => this.waiting.push(resolve));
    else this.reads += 1;
    try {
      return await read();
    } finally {
      // The turn goes on to whoever has waited longest.
      const next = this.waiting.shift();
      if (next === undefined) this.reads -= 1;
      else next();
    }
  }
}

const later = (one: Position | undefined, other: Position): Position =>
  one !== undefined && one > other ? one : other;
