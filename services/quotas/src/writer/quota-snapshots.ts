import { createHmac, timingSafeEqual } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { Inject, Injectable } from '@nestjs/common';
import type { Pool } from 'pg';
import { INSTALLATION_KEY, type Logger, LOGGER, POOL } from '#libs/platform';
import type { ProjectQuota } from '../domain/project-quota.js';
import {
  restoredHead,
  restorePiece,
  SNAPSHOT_VERSION,
  type SnapshotHead,
  snapshotInPieces,
  type SnapshotPiece,
} from '../domain/snapshot.js';

/** Gzipped; a larger state is folded from its events. */
const CONTENT_BYTES_MAX = 128 * 1024 * 1024;

export interface KeptState {
  readonly state: ProjectQuota;
  /** Of the event at the state's revision. */
  readonly chainHash: Buffer;
}

/** Where folded states are kept. Neither ever rejects: a snapshot saves time and is nothing that anybody waits for. */
export interface SnapshotShelf {
  load(stream: string): Promise<KeptState | undefined>;
  /** Copies the state before it returns, and writes the copy while the state goes on. */
  keep(stream: string, kept: KeptState, signal: AbortSignal): Promise<void>;
}

interface Row {
  readonly version: number;
  readonly revision: string;
  readonly chain_hash: Buffer;
  readonly content: Buffer;
  readonly mac: Buffer;
}

async function* linesOf(head: SnapshotHead, pieces: Iterable<SnapshotPiece>): AsyncIterable<string> {
  yield `${JSON.stringify(head)}\n`;
  for (const piece of pieces) {
    await nextTurn();
    yield `${JSON.stringify(piece)}\n`;
  }
}

async function packed(lines: AsyncIterable<string>, signal: AbortSignal): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  await pipeline(
    lines,
    createGzip({ level: 1 }),
    async (source: AsyncIterable<Buffer>) => {
      for await (const chunk of source) {
        sizeBytes += chunk.length;
        if (sizeBytes > CONTENT_BYTES_MAX) throw new Error('The snapshot is too large to be kept.');
        chunks.push(chunk);
      }
    },
    { signal },
  );
  return Buffer.concat(chunks);
}

async function unpacked(content: Buffer): Promise<ProjectQuota | undefined> {
  let state: ProjectQuota | undefined;
  let rest = '';
  const texts = Readable.from([content], { objectMode: false }).pipe(createGunzip()).setEncoding('utf8');
  for await (const text of texts as AsyncIterable<string>) {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (state !== undefined) restorePiece(state, JSON.parse(line) as SnapshotPiece);
      else if ((state = restoredHead(JSON.parse(line) as SnapshotHead)) === undefined) return undefined;
    }
  }
  return state;
}

/** Snapshots in PostgreSQL, one a project. They hold ids, amounts and labels: no private part is ever opened to fold. */
@Injectable()
export class QuotaSnapshots implements SnapshotShelf {
  readonly #key: Buffer;

  constructor(
    @Inject(POOL) private readonly pool: Pick<Pool, 'query'>,
    @Inject(INSTALLATION_KEY) installationKey: Buffer,
    @Inject(LOGGER) private readonly log: Pick<Logger, 'warn'>,
  ) {
    this.#key = installationKey;
  }

  async load(stream: string): Promise<KeptState | undefined> {
    try {
      const { rows } = await this.pool.query<Row>(
        `select version, revision, chain_hash, content, mac from projections.quota_snapshots
         where stream = $1 and version = $2`,
        [stream, SNAPSHOT_VERSION],
      );
      const [row] = rows;
      if (row === undefined) return undefined;
      if (!timingSafeEqual(row.mac, this.#mac(stream, Number(row.revision), row.chain_hash, row.content)))
        throw new Error('The snapshot is not as it was written.');
      const state = await unpacked(row.content);
      return state && { state, chainHash: row.chain_hash };
    } catch (err) {
      this.log.warn({ err, stream }, 'A snapshot is of no use; the history is folded instead.');
      return undefined;
    }
  }

  async keep(stream: string, { state, chainHash }: KeptState, signal: AbortSignal): Promise<void> {
    const { head, pieces } = snapshotInPieces(state);
    try {
      const content = await packed(linesOf(head, pieces), signal);
      await this.pool.query(
        `insert into projections.quota_snapshots (stream, version, revision, chain_hash, content, mac)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (stream) do update set version = excluded.version, revision = excluded.revision,
           chain_hash = excluded.chain_hash, content = excluded.content, mac = excluded.mac, taken_at = excluded.taken_at`,
        [
          stream,
          SNAPSHOT_VERSION,
          head.revision,
          chainHash,
          content,
          this.#mac(stream, head.revision, chainHash, content),
        ],
      );
    } catch (err) {
      if (!signal.aborted) this.log.warn({ err, stream }, 'A snapshot was not kept; a later one will be.');
    }
  }

  #mac(stream: string, revision: number, chainHash: Buffer, content: Buffer): Buffer {
    return createHmac('sha256', this.#key)
      .update(JSON.stringify(['quota-snapshot', stream, SNAPSHOT_VERSION, revision]))
      .update(chainHash)
      .update(content)
      .digest();
  }
}
