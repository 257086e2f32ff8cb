import { Inject, Injectable } from '@nestjs/common';
import type { Pool } from 'pg';
import {
  idOf,
  type KeyEvent,
  type KeyOwner,
  keyStream,
  principalStream,
  type ProjectEvent,
  projectStream,
} from '#libs/contracts';
import {
  IndexFollower,
  type Ledger,
  type Position,
  reactionContext,
  type Reactor,
  type RecordedEvent,
  runCommand,
} from '#libs/eventsourcing';
import { AccessIndex, LEDGER, POOL, READ_WAIT_MS_MAX, ReadModels } from '#libs/platform';
import { keyDecider } from './domain/key.js';
import { inParallel } from './in-parallel.js';
import type { KeyPlaceIds } from './key-facts.js';
import { KEY_LIST } from './projections/key-list.projection.js';

export const KEY_OFFBOARDING = 'key-offboarding';

const PAGE_KEYS_MAX = 500;
const CONCURRENCY_MAX = 8;

type OwnerId = Pick<KeyOwner, 'type' | 'id'>;

interface KeyRow extends KeyPlaceIds {
  readonly keyId: string;
}

/** What ended, and which keys ended with it. */
interface Ending {
  readonly cause: RecordedEvent;
  /** Null where it is every key of the project, whoever owns it. */
  readonly owner: OwnerId | null;
  /** A key that came to its owner later is spared: the owner had joined again. */
  readonly ownedBefore: Position | null;
}

/**
 * Revokes the keys of a member who was removed, of a project that was closed, and of a principal that was removed. They
 * are refused from the very event on, by the access index; this makes it last and visible. A key whose creation or
 * transfer crossed the ending follows: it is revoked as the ending's own.
 */
@Injectable()
export class KeyOffboarding implements Reactor {
  readonly name = KEY_OFFBOARDING;
  readonly types = [
    'MemberRemoved',
    'ProjectClosed',
    'PrincipalRemoved',
    'KeyCreated',
    'KeyImported',
    'KeyOwnershipTransferred',
  ] as const;
  /** What ended before there was this reactor has ended too. */
  readonly startsAt = 'beginning';

  constructor(
    @Inject(LEDGER) private readonly ledger: Ledger,
    @Inject(POOL) private readonly pool: Pick<Pool, 'query'>,
    @Inject(IndexFollower) private readonly follower: Pick<IndexFollower, 'waitFor'>,
    private readonly access: AccessIndex,
    private readonly readModels: ReadModels,
  ) {}

  async react(event: RecordedEvent, signal: AbortSignal): Promise<void> {
    const id = idOf(event.stream);
    const type = event.type as (typeof this.types)[number];
    switch (type) {
      case 'MemberRemoved': {
        const { userId } = event.data as { userId: string };
        const ownedBefore = await this.rejoinedAt(event, userId);
        const ending = { cause: event, owner: { type: 'user', id: userId } as const, ownedBefore };
        return this.revokeAll(
          ending,
          `project_id = $1 and owner_type = 'user' and owner_id = $2`,
          [id, userId],
          signal,
        );
      }
      case 'ProjectClosed':
        return this.revokeAll({ cause: event, owner: null, ownedBefore: null }, 'project_id = $1', [id], signal);
      case 'PrincipalRemoved': {
        // A service may own keys in projects too; a person's there belong to the membership, which goes on.
        for (const owner of ['service', 'user'] as const) {
          const own = owner === 'service' ? '' : ' and project_id is null';
          const ending = { cause: event, owner: { type: owner, id }, ownedBefore: null };
          await this.revokeAll(ending, `owner_type = '${owner}' and owner_id = $1${own}`, [id], signal);
        }
        return;
      }
      case 'KeyCreated':
      case 'KeyImported':
      case 'KeyOwnershipTransferred':
        return this.reactToKey(event);
    }
  }

  private async revokeAll(ending: Ending, where: string, values: string[], signal: AbortSignal): Promise<void> {
    const { position } = ending.cause;
    if (!(await this.readModels.reach(KEY_LIST, position, READ_WAIT_MS_MAX)))
      throw new Error(`The list of keys has not reached ${position} yet.`);
    const failures: Error[] = [];
    for (let after = ''; !signal.aborted;) {
      const { rows } = await this.pool.query<KeyRow>(
        `select key_id as "keyId", tenant_id as "tenantId", project_id as "projectId" from keys.key_list
         where ${where} and not revoked and key_id > $${values.length + 1} order by key_id limit ${PAGE_KEYS_MAX}`,
        [...values, after],
      );
      await inParallel(rows, CONCURRENCY_MAX, async (row) => {
        if (signal.aborted) return;
        // One key that cannot be revoked now holds up no other.
        await this.revoke(ending, row).catch((error: unknown) => failures.push(asError(error)));
      });
      const last = rows.at(-1);
      if (last === undefined || rows.length < PAGE_KEYS_MAX) break;
      after = last.keyId;
    }
    const [first] = failures;
    if (first !== undefined) throw first;
  }

  private async revoke({ cause, owner, ownedBefore }: Ending, { keyId, tenantId, projectId }: KeyRow): Promise<void> {
    const stream = keyStream(keyId);
    if (ownedBefore !== null && (await this.ownedSince(stream)) > ownedBefore) return;
    await runCommand(this.ledger, {
      stream,
      decider: keyDecider,
      command: { type: 'OffboardKey', owner },
      scope: { tenantId, projectId },
      context: reactionContext(this.name, cause, stream),
    });
  }

  /** When the key came to the owner that it has now. */
  private async ownedSince(stream: string): Promise<Position> {
    const history = await this.ledger.store.readStream(stream);
    const last = history.findLast(({ type }) => type === 'KeyOwnershipTransferred') ?? history[0];
    return last?.position ?? this.ledger.store.origin;
  }

  private async rejoinedAt({ stream, revision }: RecordedEvent, userId: string): Promise<Position | null> {
    const later = await this.ledger.store.readStream(stream, { from: revision + 1 });
    return (
      later.find((stored) => this.isAbout(this.ledger.codec.decode(stored), 'MemberAdded', userId))?.position ?? null
    );
  }

  private isAbout(event: RecordedEvent, type: ProjectEvent['type'], userId: string): boolean {
    return event.type === type && (event.data as { userId?: string }).userId === userId;
  }

  /** A key that was given to someone who had left by then, because the one could not know of the other. */
  private async reactToKey(event: RecordedEvent): Promise<void> {
    const key = event as unknown as KeyEvent;
    const owner = key.type === 'KeyOwnershipTransferred' ? key.data.to : (key.data as { owner: KeyOwner }).owner;
    if (!(await this.follower.waitFor(event.position, READ_WAIT_MS_MAX)))
      throw new Error(`The access index has not reached ${event.position} yet.`);
    const { tenantId, projectId } = event;
    if (this.access.ownerState(owner, projectId, tenantId).active) return;
    const cause = await this.endedBefore(event, owner);
    if (cause === null) return;
    const ending = { cause, owner: cause.type === 'ProjectClosed' ? null : owner, ownedBefore: null };
    await this.revoke(ending, { keyId: `key_${idOf(event.stream)}`, tenantId, projectId });
  }

  private async endedBefore({ position, projectId }: RecordedEvent, owner: OwnerId): Promise<RecordedEvent | null> {
    const streams = [
      ...(projectId === null ? [] : [projectStream(projectId)]),
      ...(projectId === null || owner.type === 'service' ? [principalStream(owner.id)] : []),
    ];
    let cause: RecordedEvent | null = null;
    for (const stream of streams)
      for (const stored of await this.ledger.store.readStream(stream)) {
        if (stored.position > position) break;
        const event = this.ledger.codec.decode(stored);
        const ended =
          event.type === 'ProjectClosed' ||
          event.type === 'PrincipalRemoved' ||
          (owner.type === 'user' && this.isAbout(event, 'MemberRemoved', owner.id));
        if (ended) cause = event;
        else if (owner.type === 'user' && this.isAbout(event, 'MemberAdded', owner.id)) cause = null;
      }
    return cause;
  }
}

const asError = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)));
