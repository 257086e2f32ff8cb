import type { Pool } from 'pg';
import { projectQuotaStream, type QuotaLimit, type QuotaScope } from '#libs/contracts';
import {
  type Actor,
  type ActorPart,
  type Ledger,
  type OpenedPart,
  Refusal,
  type StoredEvent,
} from '#libs/eventsourcing';
import { type CursorPlace, type Page, pageOf, placeOfCursor, type Principal } from '#libs/platform';
import type { Audience } from '../quota-rights.js';
import { limitOf } from './quota-page.js';
import type { LimitChangesQuery, LimitChangeView } from './reports.dto.js';

type Filtered = 'userId' | 'scope' | 'service' | 'resource' | 'from' | 'to';

export interface LimitChangesRequest {
  readonly projectId: string;
  readonly audience: Audience;
  readonly principal: Principal;
  readonly filter: { readonly [Field in Filtered]: LimitChangesQuery[Field] | undefined };
  readonly limit: number;
  readonly cursor?: string | undefined;
  readonly unitOf: (service: string, resource: string) => string | null;
}

interface Row {
  readonly revision: string;
  readonly n: number;
  readonly position: string;
  readonly recorded_at: Date;
  readonly kind: LimitChangeView['kind'];
  readonly scope: QuotaScope['type'];
  readonly user_id: string;
  readonly service: string;
  readonly resource: string;
  readonly before: string | null;
  readonly after: string | null;
  readonly soft: string | null;
  readonly effective: string | null;
  readonly below_usage: boolean;
  readonly forced: boolean;
  readonly request_id: string | null;
  readonly actor: Actor;
  readonly correlation_id: string;
}

/** Whoever makes a cursor up may put anything into it. */
function changeAt(place: CursorPlace | undefined): { readonly revision: number; readonly n: number } | undefined {
  if (place === undefined) return undefined;
  const [revision, n] = [Number(place.values[0]), Number(place.id)];
  if (Number.isSafeInteger(revision) && Number.isInteger(n) && Math.abs(n) < 2 ** 31) return { revision, n };
  throw new Refusal('CURSOR_INVALID', 'Begin again without the cursor.');
}

/** The changes of limits that the caller may see, the newest first. */
export async function readLimitChanges(
  pool: Pick<Pool, 'query'>,
  ledger: Pick<Ledger, 'store' | 'codec'>,
  request: LimitChangesRequest,
): Promise<Page<LimitChangeView>> {
  const { projectId, audience, principal, filter, limit } = request;
  const asked = JSON.parse(JSON.stringify(filter)) as unknown;
  const identity = ['limit-changes', projectId, asked, principal.type, principal.id];
  const place = changeAt(placeOfCursor(identity, request.cursor));
  const values: unknown[] = [];
  const bind = (value: unknown): string => `$${values.push(value)}`;
  const conditions = [`project_id = ${bind(projectId)}`];
  const { userId, scope, service, resource, from, to } = filter;
  if (audience.kind === 'own') conditions.push(`user_id = ${bind(audience.userId)}`);
  const equal = { user_id: userId, scope, service, resource };
  for (const [column, value] of Object.entries(equal))
    if (value !== undefined) conditions.push(`${column} = ${bind(value)}`);
  if (from !== undefined) conditions.push(`recorded_at >= ${bind(from)}`);
  if (to !== undefined) conditions.push(`recorded_at <= ${bind(to)}`);
  if (place !== undefined) conditions.push(`(revision, n) < (${bind(place.revision)}, ${bind(place.n)})`);
  const { rows } = await pool.query<Row>(
    `select * from quotas.limit_changes where ${conditions.join(' and ')}
     order by revision desc, n desc limit ${limit + 1}`,
    values,
  );
  const page = pageOf(rows, limit, identity, (last) => ({ values: [Number(last.revision)], id: String(last.n) }));
  const maySee = ({ actor }: Row): boolean =>
    audience.kind === 'all' || (actor.type === principal.type && actor.id === principal.id);
  const comments = await commentsOf(ledger, projectId, page.data.filter(maySee));
  return {
    ...page,
    data: page.data.map((row) => {
      const comment = maySee(row) ? shown(comments.get(Number(row.revision))) : HIDDEN;
      return { ...viewOf(row, request.unitOf(row.service, row.resource)), ...comment };
    }),
  };
}

const inherited = (amount: string | null): QuotaLimit | 'inherit' => (amount === null ? 'inherit' : limitOf(amount));

const viewOf = (row: Row, unit: string | null): Omit<LimitChangeView, 'comment' | 'commentStatus'> => ({
  kind: row.kind,
  scope: { type: row.scope, userId: row.user_id === '' ? null : row.user_id },
  service: row.service,
  resource: row.resource,
  unit,
  before: inherited(row.before),
  after: inherited(row.after),
  soft: row.soft === null ? null : Number(row.soft),
  effective: row.effective === null ? null : limitOf(row.effective),
  belowUsage: row.below_usage,
  forced: row.forced,
  requestId: row.request_id,
  actor: row.actor,
  recordedAt: row.recorded_at.toISOString(),
  revision: Number(row.revision),
  position: row.position,
  correlationId: row.correlation_id,
});

type Comment = Pick<LimitChangeView, 'comment' | 'commentStatus'>;

const HIDDEN: Comment = { comment: null, commentStatus: 'hidden' };

/** What was erased is told to be so, and not as if nobody had said why. */
function shown(part: OpenedPart | undefined): Comment {
  if (part === undefined) return { comment: null, commentStatus: 'none' };
  if ('erased' in part) return { comment: null, commentStatus: 'erased' };
  if ('missing' in part) return { comment: null, commentStatus: 'missing' };
  const { comment } = part.value as ActorPart;
  return { comment, commentStatus: comment === null ? 'none' : 'shown' };
}

/** How far apart two revisions may be to be read together. */
const GAP_MAX = 8;

/**
 * The comments by revision, from the ledger itself: no table holds them, so what is erased there is erased everywhere. Events
 * that stand near each other are read with one look, as a bulk change writes them.
 */
async function commentsOf(
  { store, codec }: Pick<Ledger, 'store' | 'codec'>,
  projectId: string,
  rows: readonly Row[],
): Promise<Map<number, OpenedPart>> {
  const revisions = [...new Set(rows.map(({ revision }) => Number(revision)))].sort((a, b) => a - b);
  const runs: [from: number, to: number][] = [];
  for (const revision of revisions) {
    const last = runs.at(-1);
    if (last !== undefined && revision - last[1] <= GAP_MAX) last[1] = revision;
    else runs.push([revision, revision]);
  }
  const wanted = new Set(revisions);
  const events: StoredEvent[] = [];
  for (const [from, to] of runs) {
    const read = await store.readStream(projectQuotaStream(projectId), { from, to });
    events.push(...read.filter(({ revision }) => wanted.has(revision)));
  }
  const parts = await codec.openParts(events, 'actor');
  return new Map(
    events.flatMap((event) => {
      const part = parts.get(event);
      return part === undefined ? [] : [[event.revision, part] as const];
    }),
  );
}
