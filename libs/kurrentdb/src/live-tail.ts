import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AllStreamSubscription } from '@eventstore/db-client';
import type { Position } from '#libs/eventsourcing';
import type { ClientSlot } from './client-slot.js';
import { recordPosition } from './stored-form.js';
import { after, within } from './timers.js';

const BACKOFF_MIN_MS = 50;
const BACKOFF_MAX_MS = 1_000;

/**
 * One live subscription to the whole log for all followers of a process, while there are any. It only wakes: each
 * follower reads on from the last position that it handled, so what a subscription loses is lost to nobody. It is
 * unfiltered, for the head may be a record of the server's own, and a follower has to reach that too.
 */
export class LiveTail {
  private readonly wakers = new Set<() => void>();
  private session: AbortController | undefined;
  /** Undefined until the subscription must have heard of all that comes. */
  private heard: Position | undefined;
  private cancelCheck: (() => void) | undefined;
  private opened = 0;

  constructor(
    private readonly slot: ClientSlot,
    private readonly head: () => Promise<Position>,
    /** How long the subscription may be unconfirmed, or behind what a read has seen. */
    private readonly liveMs: number,
  ) {}

  /** How many subscriptions were opened. */
  get subscriptions(): number {
    return this.opened;
  }

  /** Calls `wake` at every record until the returned function is called. */
  add(wake: () => void): () => void {
    this.wakers.add(wake);
    if (this.session === undefined) this.begin();
    return () => {
      this.wakers.delete(wake);
      if (this.wakers.size === 0) this.end();
    };
  }

  /** A read has seen the log up to here: a subscription that has not heard of it in a while is dead, however open. */
  seen(position: Position): void {
    if (this.heard === undefined || position <= this.heard || this.cancelCheck !== undefined) return;
    this.cancelCheck = after(this.liveMs, () => {
      this.cancelCheck = undefined;
      if (this.heard !== undefined && position > this.heard) this.reopen();
    });
  }

  reopen(): void {
    if (this.session === undefined) return;
    this.end();
    this.begin();
  }

  close(): void {
    this.wakers.clear();
    this.end();
  }

  private begin(): void {
    this.session = new AbortController();
    void this.run(this.session.signal);
  }

  private end(): void {
    this.session?.abort();
    this.session = undefined;
    this.heard = undefined;
    this.cancelCheck?.();
    this.cancelCheck = undefined;
  }

  private wakeAll(): void {
    for (const wake of this.wakers) wake();
  }

  private async run(signal: AbortSignal): Promise<void> {
    let backoffMs = BACKOFF_MIN_MS;
    while (!signal.aborted) {
      const wasLive = await this.listen(signal).catch(() => false);
      backoffMs = wasLive ? BACKOFF_MIN_MS : Math.min(backoffMs * 2, BACKOFF_MAX_MS);
      await sleep(backoffMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Until the subscription ends; true if it was live. */
  private async listen(signal: AbortSignal): Promise<boolean> {
    const client = await this.slot.get();
    const isOver = (): boolean => signal.aborted;
    if (isOver()) return false;
    const subscription = client.subscribeToAll({ fromPosition: 'end', requiresLeader: true });
    this.opened += 1;
    subscription.on('error', () => undefined);
    const ended = endOf(subscription, signal);
    let latest = '';
    const hear = (position: Position): void => {
      latest = position > latest ? position : latest;
      if (this.heard !== undefined && latest > this.heard) this.heard = latest;
      this.wakeAll();
    };
    subscription.on('data', ({ event }) => {
      if (event !== undefined && !isOver()) hear(recordPosition(event));
    });
    try {
      const confirmed = once(subscription, 'confirmation').then(() => true);
      if (!(await within(this.liveMs, Promise.race([confirmed, ended])))) return false;
      // What came between the last subscription and this one rang for nobody, and up to the head it never will.
      this.wakeAll();
      const head = await this.head();
      if (!isOver()) this.heard = latest > head ? latest : head;
      await ended;
      return true;
    } finally {
      if (!isOver()) this.heard = undefined;
      subscription.unsubscribe().catch(() => undefined);
      subscription.destroy();
    }
  }
}

/** A subscription whose server went away tells of an error and stays undestroyed, so every sign of an end counts. */
function endOf(subscription: AllStreamSubscription, signal: AbortSignal): Promise<false> {
  return new Promise((resolve) => {
    const end = (): void => {
      resolve(false);
    };
    for (const event of ['error', 'end', 'close']) subscription.once(event, end);
    signal.addEventListener('abort', end, { once: true });
  });
}
