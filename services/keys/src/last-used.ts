import { Inject, Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import type { Pool } from 'pg';
import { POOL } from '#libs/platform';
import { createOwnTable } from './own-tables.js';

/** Uses closer together than this are one. */
export const RESOLUTION_MS = 60_000;
export const FLUSH_EVERY_MS = 1_000;
/** What waits for a database that is away; past it the oldest are forgotten, for a use is no event. */
const PENDING_KEYS_MAX = 100_000;
const REMEMBERED_KEYS_MAX = 500_000;
const FLUSH_KEYS_MAX = 5_000;

/** RFC 3339 by the version of the secret, and of any of them. */
export interface LastUsed {
  readonly at: string | null;
  readonly byVersion: Readonly<Record<string, string>>;
}

export const neverUsed: LastUsed = { at: null, byVersion: {} };

const DDL = `
  create table if not exists keys.key_usage (
    key_id text collate "C" primary key,
    last_used_at timestamptz not null,
    by_version jsonb not null
  );
  create index if not exists key_usage_last_used_at on keys.key_usage (last_used_at, key_id);
`;

/**
 * When each key and each of its secrets was last used, to the minute. Verification notes a use in memory and never
 * waits; once a second what is new is written. A crash loses at most that second.
 */
@Injectable()
export class LastUsedRecorder implements OnModuleInit, OnApplicationShutdown {
  /** By key: version and ms of what was noted last, in pairs. */
  private readonly noted = new Map<string, number[]>();
  private pending = new Map<string, Map<number, number>>();
  private timer: NodeJS.Timeout | undefined;
  private flushing: Promise<void> | undefined;

  constructor(@Inject(POOL) private readonly pool: Pick<Pool, 'query'>) {}

  async onModuleInit(): Promise<void> {
    await createOwnTable(this.pool, DDL);
    this.timer = setInterval(() => void this.flush(), FLUSH_EVERY_MS);
    this.timer.unref();
  }

  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.flushing;
    await this.flush();
  }

  /** Costs two look-ups; never throws and never waits. */
  note(keyId: string, version: number, atMs: number): void {
    const before = this.noted.get(keyId);
    if (before !== undefined) {
      for (let n = 0; n < before.length; n += 2) {
        if (before[n] !== version) continue;
        if (atMs - (before[n + 1] ?? 0) < RESOLUTION_MS) return;
        before[n + 1] = atMs;
        this.hold(keyId, version, atMs);
        return;
      }
      before.push(version, atMs);
    } else {
      // Forgetting costs a few writes more, and keeps memory bounded.
      if (this.noted.size >= REMEMBERED_KEYS_MAX) this.noted.clear();
      this.noted.set(keyId, [version, atMs]);
    }
    this.hold(keyId, version, atMs);
  }

  private hold(keyId: string, version: number, atMs: number): void {
    const versions = this.pending.get(keyId);
    if (versions !== undefined) {
      versions.set(version, Math.max(atMs, versions.get(version) ?? 0));
      return;
    }
    if (this.pending.size >= PENDING_KEYS_MAX) {
      const [oldest] = this.pending.keys();
      if (oldest !== undefined) this.pending.delete(oldest);
    }
    this.pending.set(keyId, new Map([[version, atMs]]));
  }

  /** Writes what is pending; what cannot be written now waits for the next second. Never rejects. */
  async flush(): Promise<void> {
    if (this.flushing !== undefined) return this.flushing;
    if (this.pending.size === 0) return;
    this.flushing = this.write().finally(() => {
      this.flushing = undefined;
    });
    return this.flushing;
  }

  private async write(): Promise<void> {
    const taken = this.pending;
    this.pending = new Map();
    const entries = [...taken];
    for (let from = 0; from < entries.length; from += FLUSH_KEYS_MAX) {
      try {
        await this.upsert(entries.slice(from, from + FLUSH_KEYS_MAX));
      } catch {
        for (const [keyId, versions] of entries.slice(from))
          for (const [version, atMs] of versions) this.hold(keyId, version, atMs);
        return;
      }
    }
  }

  private async upsert(entries: readonly (readonly [string, ReadonlyMap<number, number>])[]): Promise<void> {
    const timeOf = (ms: number): string => new Date(ms).toISOString();
    await this.pool.query(
      `insert into keys.key_usage as u (key_id, last_used_at, by_version)
       select * from unnest($1::text[], $2::timestamptz[], $3::jsonb[])
       on conflict (key_id) do update set
         last_used_at = greatest(u.last_used_at, excluded.last_used_at),
         by_version = u.by_version || excluded.by_version`,
      [
        entries.map(([keyId]) => keyId),
        entries.map(([, versions]) => timeOf(Math.max(...versions.values()))),
        entries.map(([, versions]) =>
          JSON.stringify(Object.fromEntries([...versions].map(([version, ms]) => [version, timeOf(ms)]))),
        ),
      ],
    );
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
