import { type DataKey, type DataKeys, type Position, StoreUnavailable } from '#libs/eventsourcing';
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import type { KeyEncryptionKeys } from './key-files.js';
import { failureOfRead, isServerAnswer } from './postgres-errors.js';
import { OpenedKeys } from './opened-keys.js';

export interface PostgresDataKeysOptions {
  /** As the program's role. */
  readonly connection: pg.ClientConfig;
  readonly kek: KeyEncryptionKeys;
  /** How long an opened key is kept; 60 s unless told, which is also the most that is allowed. */
  readonly cacheMs?: number;
  /** How many opened keys are kept; 10,000 unless told. */
  readonly cacheMax?: number;
  /** Asked before a new key is made. */
  readonly refuse?: () => 'disk-full' | undefined;
  readonly monotonicMs?: () => number;
}

/** A key that is wrapped under a version of the key-encryption key that this process has not: its file is older. */
export class KekVersionUnknown extends Error {
  constructor(name: string, version: string) {
    super(
      `The data key ${name} is wrapped under version ${version} of the key-encryption key, which is not in the file.`,
    );
    this.name = 'KekVersionUnknown';
  }
}

interface Row {
  readonly name: string;
  readonly owner: string;
  readonly wrapped: Buffer | null;
  readonly kek_version: string;
}

interface Waiter {
  readonly owners: readonly string[];
  readonly resolve: (keys: ReadonlyMap<string, DataKey>) => void;
  readonly reject: (error: unknown) => void;
}

const CACHE_MS_MAX = 60_000;
const CACHE_MAX = 10_000;
const CONNECTIONS_MAX = 3;
const CONNECT_TIMEOUT_MS = 800;
const QUERY_TIMEOUT_MS = 1000;
const STATEMENT_TIMEOUT_MS = 5000;
const WAITERS_MAX = 10_000;
const BATCH_OWNERS_MAX = 1000;
const ROUNDS_MAX = 5;
const REWRAP_PIECE = 500;
/** Stands in the table beside the keys, so that a restored backup of the keys brings its own, older checkpoint. */
const CHECKPOINT = 'checkpoint:data-key-shredder';

/** The data keys in ledger.data_keys. Throws StoreUnavailable within about a second where the database does not answer. */
export class PostgresDataKeys implements DataKeys {
  private readonly pool: pg.Pool;
  private readonly kek: KeyEncryptionKeys;
  private readonly opened: OpenedKeys;
  private readonly refuse: () => 'disk-full' | undefined;
  private waiting: Waiter[] = [];
  private obtaining = false;

  constructor(options: PostgresDataKeysOptions) {
    this.pool = new pg.Pool({
      ...options.connection,
      max: CONNECTIONS_MAX,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: QUERY_TIMEOUT_MS,
      statement_timeout: STATEMENT_TIMEOUT_MS,
      allowExitOnIdle: true,
    });
    this.pool.on('error', () => undefined);
    this.kek = options.kek;
    this.refuse = options.refuse ?? (() => undefined);
    this.opened = new OpenedKeys(
      Math.min(options.cacheMs ?? CACHE_MS_MAX, CACHE_MS_MAX),
      options.cacheMax ?? CACHE_MAX,
      options.monotonicMs,
    );
  }

  obtain(owners: readonly string[]): Promise<ReadonlyMap<string, DataKey>> {
    const known = this.opened.ofOwners(owners);
    if (known !== undefined) return Promise.resolve(known);
    if (this.waiting.length >= WAITERS_MAX) return Promise.reject(new StoreUnavailable('overloaded'));
    return new Promise((resolve, reject) => {
      this.waiting.push({ owners, resolve, reject });
      void this.obtainWaiting();
    });
  }

  /** Whoever comes while a batch is under way shares the next one. */
  private async obtainWaiting(): Promise<void> {
    if (this.obtaining) return;
    this.obtaining = true;
    while (this.waiting.length > 0) {
      const batch: Waiter[] = [];
      const owners = new Set<string>();
      for (let next = this.waiting[0]; next !== undefined && owners.size < BATCH_OWNERS_MAX; next = this.waiting[0]) {
        this.waiting.shift();
        batch.push(next);
        for (const owner of next.owners) owners.add(owner);
      }
      try {
        // Sorted, so that two processes that insert the same owners wait for each other in one order.
        const keys = await this.obtainNow([...owners].sort());
        for (const { owners: wanted, resolve } of batch)
          resolve(new Map(wanted.map((owner) => [owner, keys.get(owner) as DataKey])));
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.obtaining = false;
  }

  private async obtainNow(owners: readonly string[]): Promise<Map<string, DataKey>> {
    const keys = new Map<string, DataKey>();
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      const missing = owners.filter((owner) => !keys.has(owner));
      const epoch = this.opened.epoch;
      const rows = await this.query<Row>(
        `select name, owner, wrapped, kek_version from ledger.data_keys
         where owner = any($1) and destroyed_at is null`,
        [missing],
      );
      for (const row of rows) keys.set(row.owner, { name: row.name, bytes: this.unwrap(row) });
      this.opened.add(keys, epoch);
      const absent = missing.filter((owner) => !keys.has(owner));
      if (absent.length === 0) return keys;
      await this.insert(absent);
    }
    throw new StoreUnavailable('overloaded');
  }

  /** One statement is one transaction; what another process inserted first stays and is what the next read brings. */
  private async insert(owners: readonly string[]): Promise<void> {
    const refusal = this.refuse();
    if (refusal !== undefined) throw new StoreUnavailable(refusal);
    const names = owners.map((owner) => `${owner}#${randomBytes(8).toString('hex')}`);
    const wrapped = names.map((name) => this.kek.wrap(name, randomBytes(32)));
    await this.query(
      `insert into ledger.data_keys (name, owner, wrapped, kek_version)
       select u.name, u.owner, u.wrapped, $4 from unnest($1::text[], $2::text[], $3::bytea[]) as u (name, owner, wrapped)
       on conflict (owner) where destroyed_at is null do nothing`,
      [names, owners, wrapped, this.kek.current],
    );
  }

  async open(names: readonly string[]): Promise<ReadonlyMap<string, Buffer | 'destroyed' | 'missing'>> {
    const answer = new Map<string, Buffer | 'destroyed' | 'missing'>();
    for (const name of names) answer.set(name, this.opened.ofName(name) ?? 'missing');
    const unknown = names.filter((name) => answer.get(name) === 'missing');
    if (unknown.length === 0) return answer;
    const epoch = this.opened.epoch;
    const rows = await this.query<Row>(
      'select name, owner, wrapped, kek_version from ledger.data_keys where name = any($1)',
      [unknown],
    );
    const found = new Map<string, DataKey>();
    for (const row of rows) {
      if (row.wrapped === null) answer.set(row.name, 'destroyed');
      else {
        const bytes = this.unwrap(row);
        answer.set(row.name, bytes);
        found.set(row.owner, { name: row.name, bytes });
      }
    }
    this.opened.add(found, epoch);
    return answer;
  }

  /**
   * A name that is not in the table is put there as a destroyed one: after a restored backup its part then reads as
   * erased, which it was meant to be, and not as missing.
   */
  async destroy(names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    this.opened.forget(names);
    await this.query(
      `update ledger.data_keys set wrapped = null, destroyed_at = clock_timestamp()
       where name = any($1) and destroyed_at is null`,
      [names],
    );
    await this.query(
      `insert into ledger.data_keys (name, owner, wrapped, kek_version, destroyed_at)
       select u.name, regexp_replace(u.name, '#[^#]*$', ''), null, '', clock_timestamp() from unnest($1::text[]) as u (name)
       on conflict (name) do nothing`,
      [names],
    );
    this.opened.forget(names);
  }

  async standing(owner: string): Promise<readonly string[]> {
    const rows = await this.query<{ name: string }>(
      'select name from ledger.data_keys where owner = $1 and destroyed_at is null',
      [owner],
    );
    return rows.map(({ name }) => name);
  }

  /** Drops opened keys that another process has destroyed, or is about to. */
  forget(names: readonly string[]): void {
    this.opened.forget(names);
  }

  /** Of the names, those that have not been destroyed: none, when the shredder has done its work. */
  async notDestroyed(names: readonly string[]): Promise<readonly string[]> {
    const rows = await this.query<{ name: string }>(
      'select name from ledger.data_keys where name = any($1) and destroyed_at is null',
      [names],
    );
    return rows.map(({ name }) => name);
  }

  /** Wraps what stands under older versions anew, in pieces; the keys themselves stay. Answers how many. */
  async rewrap(): Promise<number> {
    let rewrapped = 0;
    for (let after = ''; ;) {
      const rows = await this.query<Row>(
        `select name, owner, wrapped, kek_version from ledger.data_keys
         where destroyed_at is null and kek_version not in ('', $1) and name > $2 order by name limit $3`,
        [this.kek.current, after, REWRAP_PIECE],
      );
      const last = rows.at(-1);
      if (last === undefined) return rewrapped;
      after = last.name;
      // Compared with what was read: one that was destroyed or re-wrapped meanwhile stays as it is.
      const updated = await this.query(
        `update ledger.data_keys k set wrapped = u.new_wrapped, kek_version = $4
         from unnest($1::text[], $2::bytea[], $3::bytea[]) as u (name, old_wrapped, new_wrapped)
         where k.name = u.name and k.wrapped = u.old_wrapped returning k.name`,
        [
          rows.map(({ name }) => name),
          rows.map(({ wrapped }) => wrapped),
          rows.map((row) => this.kek.wrap(row.name, this.unwrap(row))),
          this.kek.current,
        ],
      );
      rewrapped += updated.length;
    }
  }

  /** How far the log has been searched for keys to destroy; undefined before the first time. */
  async checkpoint(): Promise<Position | undefined> {
    const rows = await this.query<{ position: string }>(
      `select convert_from(wrapped, 'UTF8') as position from ledger.data_keys where name = $1`,
      [CHECKPOINT],
    );
    return rows[0]?.position;
  }

  async moveCheckpoint(position: Position): Promise<void> {
    await this.query(
      `insert into ledger.data_keys (name, owner, wrapped, kek_version) values ($1, $1, convert_to($2, 'UTF8'), '')
       on conflict (name) do update set wrapped = excluded.wrapped`,
      [CHECKPOINT, position],
    );
  }

  async close(): Promise<void> {
    this.opened.close();
    await this.pool.end();
  }

  private unwrap({ name, wrapped, kek_version }: Row): Buffer {
    const bytes = wrapped === null ? undefined : this.kek.unwrap(kek_version, name, wrapped);
    if (bytes === undefined) throw new KekVersionUnknown(name, kek_version);
    return bytes;
  }

  private async query<Found extends object>(text: string, values: readonly unknown[]): Promise<Found[]> {
    try {
      return (await this.pool.query<Found & pg.QueryResultRow>(text, [...values])).rows;
    } catch (error) {
      // Repeating any of these statements is safe, so an unknown outcome is nothing but a failure.
      if (isServerAnswer(error) && error.code === '53100') throw new StoreUnavailable('disk-full', { cause: error });
      throw failureOfRead(error);
    }
  }
}
