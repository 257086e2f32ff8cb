import { Inject, Injectable } from '@nestjs/common';
import { type KeyEvent, keyStream, type RevocationReason } from '#libs/contracts';
import {
  asRefusal,
  type Clock,
  type CommandContext,
  type DataKeys,
  type EventMeta,
  type Ledger,
  type Position,
  Refusal,
  runCommand,
} from '#libs/eventsourcing';
import { CLOCK, DATA_KEYS, KeyDirectory, type KeyEntry, LEDGER, type Principal } from '#libs/platform';
import type { ExtendKey, KeyCommand, KeyEdits } from './domain/commands.js';
import { keyDecider } from './domain/key.js';
import type { Key, KeyState } from './domain/key-state.js';
import { boundsOf, KeyFacts, type KeyPlaceIds, type OwnerWish } from './key-facts.js';
import { type KeyView, keyView } from './keys.views.js';
import { LastUses, neverUsed } from './usage/last-uses.js';

/** A change as its caller wishes it: the domain's command less the facts of other streams. */
export type KeyChangeWish =
  | { readonly type: 'UpdateKey'; readonly edits: KeyEdits }
  | { readonly type: 'ExtendKey'; readonly by: ExtendKey['by'] }
  | { readonly type: 'RetireSecret'; readonly version: number }
  | { readonly type: 'DisableKey' }
  | { readonly type: 'EnableKey' }
  | { readonly type: 'RevokeKey'; readonly reason: RevocationReason }
  | { readonly type: 'DeleteKey' }
  | { readonly type: 'TransferKey'; readonly owner: OwnerWish };

/** Who asks, and what the request brings to its events. */
export interface KeyRequest {
  readonly principal: Principal;
  readonly context: CommandContext;
  /** If-Match. */
  readonly expectedRevision?: number | undefined;
}

export interface KeyChanged {
  readonly key: KeyView;
  readonly revision: number;
  readonly position: Position | null;
}

export interface Written extends KeyChanged {
  readonly state: Key;
  readonly events: readonly KeyEvent[];
  /** True when an earlier request did it. */
  readonly replayed: boolean;
}

interface Folded {
  readonly state: KeyState;
  readonly revision: number;
  readonly position: Position | null;
  readonly lastRecordedAt: string;
}

/** The one way in which commands reach the stream of a key. */
@Injectable()
export class KeyWriter {
  constructor(
    @Inject(LEDGER) private readonly ledger: Ledger,
    @Inject(DATA_KEYS) private readonly dataKeys: DataKeys,
    @Inject(CLOCK) private readonly clock: Clock,
    private readonly directory: KeyDirectory,
    private readonly facts: KeyFacts,
    private readonly lastUses: LastUses,
  ) {}

  /** Where a key stands. The guard has found it in the same index, so only a program without the guard is refused. */
  placeOf(keyId: string): KeyEntry {
    const entry = this.directory.find(keyId);
    if (entry === undefined) throw new Refusal('NOT_FOUND', 'There is no such key.');
    return entry;
  }

  change(keyId: string, wish: KeyChangeWish, request: KeyRequest): Promise<Written> {
    return this.prepared(keyId, wish, request.principal, (place, command) =>
      this.write(keyId, place, command, request),
    );
  }

  /** What the change would leave now; nothing is written. */
  rehearse(keyId: string, wish: KeyChangeWish, principal: Principal): Promise<KeyChanged> {
    return this.prepared(keyId, wish, principal, async (_place, command) => {
      const { state, ...at } = await this.decided(keyId, command);
      return this.answer(keyOf(state), at);
    });
  }

  /** What the command would write now, and the state that it would leave. */
  async decided(keyId: string, command: KeyCommand): Promise<Omit<Folded, 'lastRecordedAt'> & { events: KeyEvent[] }> {
    const { lastRecordedAt, state, ...at } = await this.fold(keyId);
    const now = this.clock.now();
    const recordedAt = now > lastRecordedAt ? now : lastRecordedAt;
    const events = keyDecider.decide(command, state, recordedAt);
    // Nobody sees the rest of an envelope that is never written.
    const meta = { recordedAt } as EventMeta;
    return { ...at, events, state: events.reduce((before, event) => keyDecider.evolve(before, event, meta), state) };
  }

  async write(
    keyId: string,
    place: KeyPlaceIds,
    command: KeyCommand,
    request: Omit<KeyRequest, 'principal'>,
  ): Promise<Written> {
    const outcome = await runCommand(this.ledger, {
      stream: keyStream(keyId),
      decider: keyDecider,
      command,
      scope: { tenantId: place.tenantId, projectId: place.projectId },
      context: request.context,
      expectedRevision: request.expectedRevision,
    });
    const state = keyOf(outcome.state);
    const isNew = command.type === 'CreateKey' || command.type === 'ImportKey';
    const events = outcome.events as unknown as readonly KeyEvent[];
    return { ...(await this.answer(state, outcome, isNew)), state, events, replayed: outcome.replayed };
  }

  /** What the ledger itself says of the key now. */
  async fold(keyId: string): Promise<Folded> {
    const history = await this.ledger.store.readStream(keyStream(keyId)).catch((error: unknown) => {
      throw asRefusal(error);
    });
    let state = keyDecider.initialState;
    let lastRecordedAt = '';
    for (const stored of history) {
      const event = this.ledger.codec.decode(stored);
      state = keyDecider.evolve(state, event as unknown as KeyEvent, event);
      lastRecordedAt = event.recordedAt;
    }
    return { state, revision: history.length, position: history.at(-1)?.position ?? null, lastRecordedAt };
  }

  async answer(
    key: Key,
    { revision, position }: { readonly revision: number; readonly position: Position | null },
    isNew = false,
  ): Promise<KeyChanged> {
    const used = isNew ? undefined : (await this.lastUses.of([key.keyId])).get(key.keyId);
    const at = this.clock.now();
    return { key: keyView(key, { revision, position }, used ?? neverUsed, at), revision, position };
  }

  private async prepared<Result>(
    keyId: string,
    wish: KeyChangeWish,
    principal: Principal,
    work: (place: KeyPlaceIds, command: KeyCommand) => Promise<Result>,
  ): Promise<Result> {
    const place = this.placeOf(keyId);
    const policy = this.facts.policyOf(place);
    const caller = boundsOf(principal);
    switch (wish.type) {
      case 'UpdateKey': {
        const owner = this.facts.roleNow(place.owner, place);
        const scopes = wish.edits.scopes ?? null;
        const scopesBeyondOwner = this.facts.scopesBeyond(owner, scopes);
        const servicesWithheld = await this.facts.servicesWithheld(place, owner, scopes);
        return work(place, { ...wish, scopesBeyondOwner, servicesWithheld, policy, caller });
      }
      case 'ExtendKey':
        return this.facts.counted(place, policy, place.owner, keyId, (counts) =>
          work(place, { ...wish, policy, counts, caller }),
        );
      case 'TransferKey': {
        const { owner } = await this.facts.ownerIn(place, wish.owner, principal);
        return this.facts.counted(place, policy, owner, keyId, (counts) =>
          work(place, { ...wish, owner, policy, counts, caller }),
        );
      }
      case 'EnableKey':
        return work(place, { ...wish, caller });
      case 'DeleteKey': {
        const dataKeys = await this.dataKeys.standing(`key:${keyId}`).catch((error: unknown) => {
          throw asRefusal(error);
        });
        return work(place, { ...wish, dataKeys });
      }
      case 'RetireSecret':
      case 'DisableKey':
      case 'RevokeKey':
        return work(place, wish);
    }
  }
}

/** A command that was not refused leaves a key. */
function keyOf(state: KeyState): Key {
  if (state.kind === 'absent') throw new Error('A command on a key left no key.');
  return state;
}
