import type { PoolClient } from 'pg';
import type { Position, RecordedEvent } from '#libs/eventsourcing';
import { type Database, inTransaction } from '../transaction.js';

/** How far a reactor has come, and the keys of the events that wait behind it. */
export interface ReactorCheckpoint {
  readonly position: Position;
  readonly waitingKeys: ReadonlySet<string>;
}

/** An event that is set aside; `reason` is null where it only waits behind another of its key. */
export interface WaitingEvent {
  readonly event: Pick<RecordedEvent, 'position' | 'stream' | 'revision' | 'type'>;
  readonly key: string;
  readonly reason: string | null;
}

/** The first waiting event of a key. */
export interface DueReaction {
  readonly position: Position;
  readonly key: string;
  readonly stream: string;
  readonly revision: number;
  readonly attempts: number;
  /** Ms until it is tried again, by the database's clock; 0 or less if it is due. */
  readonly dueInMs: number;
}

/** Another process has taken the reactor over: whatever this one did not write yet is the other's to do. */
export class ReactorDeposed extends Error {
  constructor(reactor: string) {
    super(`The reactor ${reactor} was taken over by another process.`);
    this.name = 'ReactorDeposed';
  }
}

/** The place of one reactor in the database, written under the epoch of its lease only. */
export class ReactorCheckpoints {
  constructor(
    private readonly database: Database,
    private readonly reactor: string,
  ) {}

  async register(position: Position): Promise<void> {
    await this.database.query(
      'insert into projections.reactors (reactor, position) values ($1, $2) on conflict do nothing',
      [this.reactor, position],
    );
  }

  async isRegistered(): Promise<boolean> {
    const { rows } = await this.database.query('select 1 from projections.reactors where reactor = $1', [this.reactor]);
    return rows.length > 0;
  }

  /** Takes the reactor over for an epoch. Throws ReactorDeposed if a newer holder has it. */
  async adopt(epoch: number): Promise<ReactorCheckpoint> {
    const { rows } = await this.database.query<{ position: string; keys: string[] }>(
      `update projections.reactors r set epoch = $2 where reactor = $1 and epoch <= $2
       returning position, array(select distinct w.key from projections.waiting_reactions w where w.reactor = r.reactor) as keys`,
      [this.reactor, epoch],
    );
    const [row] = rows;
    if (row === undefined) throw new ReactorDeposed(this.reactor);
    return { position: row.position, waitingKeys: new Set(row.keys) };
  }

  /** Everything up to the position is done, but for what waits. */
  async move(epoch: number, position: Position, waiting: readonly WaitingEvent[] = []): Promise<void> {
    await this.write(epoch, async (client) => {
      await client.query(
        'update projections.reactors set position = $2, updated_at = clock_timestamp() where reactor = $1',
        [this.reactor, position],
      );
      for (const { event, key, reason } of waiting)
        await client.query(
          `insert into projections.waiting_reactions
             (reactor, position, key, stream, revision, type, reason, attempts, retry_at)
           values ($1, $2, $3, $4, $5, $6, $7, $8, clock_timestamp() + $9 * interval '1 ms')
           on conflict (reactor, position) do nothing`,
          [
            this.reactor,
            event.position,
            key,
            event.stream,
            event.revision,
            event.type,
            reason,
            reason === null ? 0 : 1,
            reason === null ? 0 : retryAfterMs(1),
          ],
        );
    });
  }

  async waiting(): Promise<DueReaction[]> {
    const { rows } = await this.database.query<DueReaction & { revision: string }>(
      `select distinct on (key) position, key, stream, revision, attempts,
         (extract(epoch from retry_at - clock_timestamp()) * 1000)::float8 as "dueInMs"
       from projections.waiting_reactions where reactor = $1 order by key, position`,
      [this.reactor],
    );
    return rows.map((row) => ({ ...row, revision: Number(row.revision) }));
  }

  /** Answers whether another event of the key waits behind. */
  async done(epoch: number, { position, key }: DueReaction): Promise<boolean> {
    let waits = false;
    await this.write(epoch, async (client) => {
      await client.query('delete from projections.waiting_reactions where reactor = $1 and position = $2', [
        this.reactor,
        position,
      ]);
      const { rows } = await client.query(
        'select 1 from projections.waiting_reactions where reactor = $1 and key = $2 limit 1',
        [this.reactor, key],
      );
      waits = rows.length > 0;
    });
    return waits;
  }

  async failedAgain(epoch: number, { position, attempts }: DueReaction, reason: string): Promise<void> {
    await this.write(epoch, async (client) => {
      await client.query(
        `update projections.waiting_reactions
         set attempts = attempts + 1, reason = $3, retry_at = clock_timestamp() + $4 * interval '1 ms'
         where reactor = $1 and position = $2`,
        [this.reactor, position, reason, retryAfterMs(attempts + 1)],
      );
    });
  }

  private async write(epoch: number, work: (client: PoolClient) => Promise<void>): Promise<void> {
    const written = await inTransaction(this.database, async (client) => {
      const { rows } = await client.query(
        'select 1 from projections.reactors where reactor = $1 and epoch = $2 for update',
        [this.reactor, epoch],
      );
      if (rows.length === 0) return undefined;
      await work(client);
      return true;
    });
    if (written === undefined) throw new ReactorDeposed(this.reactor);
  }
}

const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 60_000;

const retryAfterMs = (attempts: number): number => Math.min(RETRY_MS_MIN * 2 ** (attempts - 1), RETRY_MS_MAX);
