import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import type { Pool } from 'pg';
import { POOL } from '#libs/platform';
import { createUsageTables } from './usage-tables.js';

/** RFC 3339 by the version of the secret, and of any of them. */
export interface LastUsed {
  readonly at: string | null;
  readonly byVersion: Readonly<Record<string, string>>;
}

export const neverUsed: LastUsed = { at: null, byVersion: {} };

/** When each key and each of its secrets was last used, as it was last written. */
@Injectable()
export class LastUses implements OnModuleInit {
  constructor(@Inject(POOL) private readonly pool: Pick<Pool, 'query'>) {}

  onModuleInit(): Promise<void> {
    return createUsageTables(this.pool);
  }

  async of(keyIds: readonly string[]): Promise<ReadonlyMap<string, LastUsed>> {
    if (keyIds.length === 0) return new Map();
    const { rows } = await this.pool.query<{ key_id: string; last_used_at: Date; by_version: Record<string, string> }>(
      'select key_id, last_used_at, by_version from keys.key_usage where key_id = any($1)',
      [keyIds],
    );
    return new Map(rows.map((row) => [row.key_id, { at: row.last_used_at.toISOString(), byVersion: row.by_version }]));
  }
}
