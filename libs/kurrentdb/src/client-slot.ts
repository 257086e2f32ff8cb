import { StoreUnavailable } from '#libs/eventsourcing';
import type { Client } from './client.js';
import type { EventStoreUrl } from './event-store-url.js';
import { within } from './timers.js';

const CLOSE_MS_MAX = 500;

/**
 * The one client of a store, replaced when it is dead: a batch stream that its server ended in peace, or a question for
 * the server's features that ran out of time, is kept by the client for ever. Two clients never append side by side,
 * for this client books all appends of a process in one place, and one's lost connection would upset the other's.
 */
export class ClientSlot {
  private current: Promise<Client> | undefined;
  private leaving: Promise<void> = Promise.resolve();
  private isClosed = false;
  private discarded = 0;
  private lastAnswerMs = 0;

  constructor(
    private readonly url: EventStoreUrl,
    /** What stood open on a discarded client is dead, and its streams may not say so. */
    private readonly onDiscard: () => void,
  ) {}

  /** How many clients were given up. */
  get rebuilds(): number {
    return this.discarded;
  }

  get(): Promise<Client> {
    if (this.isClosed) return Promise.reject(new StoreUnavailable('unreachable'));
    this.current ??= this.leaving.then(async () => {
      const { openClient } = await import('./client.js');
      return openClient(this.url);
    });
    return this.current;
  }

  /** The server has answered something, and be it a refusal. */
  answered(): void {
    this.lastAnswerMs = performance.now();
  }

  /** A call sent at `sentMs` ran out of time: where nothing else was answered since, the connection is dead too. */
  unanswered(client: Promise<Client>, sentMs: number): void {
    if (this.lastAnswerMs < sentMs) this.discard(client);
  }

  /** Lets a client go that no longer answers; whoever asks next has a new one. */
  discard(dead: Promise<Client>): void {
    if (this.current !== dead) return;
    this.current = undefined;
    this.discarded += 1;
    this.leaving = close(dead);
    this.onDiscard();
  }

  async close(): Promise<void> {
    this.isClosed = true;
    if (this.current !== undefined) await close(this.current);
    await this.leaving;
  }
}

/** A stream that its server ended in peace never ends here, so its end is not waited for long. */
async function close(client: Promise<Client>): Promise<void> {
  const calls = client.then((one) => one.dispose());
  await within(CLOSE_MS_MAX, calls).catch(() => undefined);
  const connection = client.then((one) => one.disconnect());
  await within(CLOSE_MS_MAX, connection).catch(() => undefined);
}
