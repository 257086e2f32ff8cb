import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import type { Pool } from 'pg';
import { type CommandContext, Refusal } from '#libs/eventsourcing';
import { POOL } from '#libs/platform';
import { createOwnTable } from './own-tables.js';

/** Kept as long as the streams know the commands that wrote to them: for ever. */
const DDL = `
  create table if not exists keys.bulk_selections (
    command_id uuid primary key,
    request_hash text collate "C" not null,
    key_ids text[] collate "C" not null
  );
`;

interface Selection {
  readonly request_hash: string;
  readonly key_ids: readonly string[];
}

type Repeatable = Pick<CommandContext, 'commandId' | 'requestHash'>;

/**
 * Which keys the filter of a bulk chose. After the bulk the same filter chooses others, so a repeated request, or the
 * rest of one that was interrupted, is held to what was chosen the first time.
 */
@Injectable()
export class BulkSelections implements OnModuleInit {
  constructor(@Inject(POOL) private readonly pool: Pick<Pool, 'query'>) {}

  onModuleInit(): Promise<void> {
    return createOwnTable(this.pool, DDL);
  }

  /**
   * The keys chosen under this Idempotency-Key, by `choose` if it is new; durable before it answers. Without a key
   * nothing is kept. Refuses with IDEMPOTENCY_MISMATCH what came before with another request.
   */
  async chosen({ commandId, requestHash }: Repeatable, choose: () => Promise<string[]>): Promise<readonly string[]> {
    if (requestHash === null) return choose();
    const kept =
      (await this.find(commandId)) ??
      (await this.keep(commandId, requestHash, choose).catch(async (error: unknown) => {
        // The same request may have run beside this one, and its changes are why the filter matches no more.
        const meanwhile = await this.find(commandId);
        if (meanwhile === undefined) throw error;
        return meanwhile;
      }));
    if (kept.request_hash === requestHash) return kept.key_ids;
    throw new Refusal('IDEMPOTENCY_MISMATCH', 'The Idempotency-Key came before with another request.');
  }

  /** Of two that choose at once one is kept, and both go by it. */
  private async keep(commandId: string, requestHash: string, choose: () => Promise<string[]>): Promise<Selection> {
    const key_ids = await choose();
    const { rowCount } = await this.pool.query(
      'insert into keys.bulk_selections (command_id, request_hash, key_ids) values ($1, $2, $3) on conflict do nothing',
      [commandId, requestHash, key_ids],
    );
    if (rowCount === 1) return { request_hash: requestHash, key_ids };
    const other = await this.find(commandId);
    if (other === undefined) throw new Error('The selection that was in the way is gone.');
    return other;
  }

  private async find(commandId: string): Promise<Selection | undefined> {
    const { rows } = await this.pool.query<Selection>(
      'select request_hash, key_ids from keys.bulk_selections where command_id = $1',
      [commandId],
    );
    return rows[0];
  }
}
