import type { ClientBase, Pool } from 'pg';
import type { IncomingMessage } from '#libs/kafka';

type Place = Pick<IncomingMessage, 'topic' | 'partition' | 'offset'>;

/**
 * Moves the partition's offset past the message, within the caller's transaction: false where it is past it already, so
 * that a message counts once whoever brings it, also one who was put out of the group and does not know it yet.
 */
export async function moveOffset(
  client: Pick<ClientBase, 'query'>,
  { topic, partition, offset }: Place,
): Promise<boolean> {
  const { rowCount } = await client.query(
    `insert into keys.usage_offsets as o (topic, partition, next_offset) values ($1, $2, $3)
     on conflict (topic, partition) do update set next_offset = excluded.next_offset
       where o.next_offset < excluded.next_offset`,
    [topic, partition, String(offset + 1n)],
  );
  return rowCount === 1;
}

export async function readOffsets(
  pool: Pick<Pool, 'query'>,
  topic: string,
  partitions: readonly number[],
): Promise<ReadonlyMap<number, bigint>> {
  const { rows } = await pool.query<{ partition: number; next_offset: string }>(
    'select partition, next_offset from keys.usage_offsets where topic = $1 and partition = any($2)',
    [topic, partitions],
  );
  return new Map(rows.map(({ partition, next_offset }) => [partition, BigInt(next_offset)]));
}

export async function forgetOffset(pool: Pick<Pool, 'query'>, topic: string, partition: number): Promise<void> {
  await pool.query('delete from keys.usage_offsets where topic = $1 and partition = $2', [topic, partition]);
}
