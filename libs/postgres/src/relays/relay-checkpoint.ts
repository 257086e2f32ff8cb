import type { Position } from '#libs/eventsourcing';
import type { Database } from '../transaction.js';

/** Another process has taken the relay over: it publishes again whatever this one did not record. */
export class RelayDeposed extends Error {
  constructor(relay: string) {
    super(`The relay ${relay} was taken over by another process.`);
    this.name = 'RelayDeposed';
  }
}

/** For a Kafka that is new: every relay begins anew. None may run meanwhile. */
export async function forgetRelays(database: Pick<Database, 'query'>): Promise<void> {
  await database.query('delete from projections.relays');
}

/** The place of one relay in the database, written under the epoch of its lease only. */
export class RelayCheckpoint {
  constructor(
    private readonly database: Pick<Database, 'query'>,
    private readonly relay: string,
  ) {}

  /**
   * Takes the relay over for an epoch and answers the position up to which everything is published; `origin` if it never
   * ran. Throws RelayDeposed if a newer holder has it.
   */
  async adopt(epoch: number, origin: Position): Promise<Position> {
    const { rows } = await this.database.query<{ position: string }>(
      `insert into projections.relays as r (relay, position, epoch) values ($1, $2, $3)
       on conflict (relay) do update set epoch = excluded.epoch where r.epoch <= excluded.epoch
       returning position`,
      [this.relay, origin, epoch],
    );
    const [row] = rows;
    if (row === undefined) throw new RelayDeposed(this.relay);
    return row.position;
  }

  /** Everything up to the position is published. Throws RelayDeposed. */
  async move(epoch: number, position: Position): Promise<void> {
    const { rowCount } = await this.database.query(
      `update projections.relays set position = $3, updated_at = clock_timestamp() where relay = $1 and epoch = $2`,
      [this.relay, epoch, position],
    );
    if (rowCount !== 1) throw new RelayDeposed(this.relay);
  }
}
