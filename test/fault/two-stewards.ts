import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { aDataDir, startExternalPostgres, StewardProcess } from '#libs/testing';
import type { ExternalPostgres } from '#libs/testing';

const KNOWN_MS_MAX = 20_000;

export interface StoredFact {
  readonly type: string;
  readonly recordedAt: string;
  readonly data: Record<string, unknown>;
}

/** Two whole Stewards on one PostgreSQL, as two replicas of the server tier. */
export class TwoStewards {
  private constructor(
    private readonly postgres: ExternalPostgres,
    readonly database: pg.Pool,
    private readonly dataDir: string,
    private readonly env: readonly [Record<string, string>, Record<string, string>],
    readonly both: [StewardProcess, StewardProcess],
  ) {}

  /** Each with what it alone shall know of the environment. */
  static async start(env: TwoStewards['env'] = [{}, {}]): Promise<TwoStewards> {
    const postgres = await startExternalPostgres();
    const database = new pg.Pool({ connectionString: postgres.url, max: 2 });
    database.on('error', () => undefined);
    const dataDir = aDataDir();
    const shared = { STEWARD_DATABASE_URL: postgres.url, STEWARD_LOG_LEVEL: 'info' };
    const all = [
      { ...shared, ...env[0] },
      { ...shared, ...env[1] },
    ] as const;
    // The first makes the key files and the administrator, which the second then finds.
    const first = await StewardProcess.start({ dataDir, env: all[0] });
    const second = await StewardProcess.start({ dataDir, env: all[1] });
    return new TwoStewards(postgres, database, dataDir, all, [first, second]);
  }

  kill(which: 0 | 1): void {
    this.both[which].signal('SIGKILL');
  }

  /** After it has ended. */
  async restart(which: 0 | 1): Promise<void> {
    await this.both[which].exited();
    this.both[which] = await StewardProcess.start({ dataDir: this.dataDir, env: this.env[which] });
  }

  /** Until each has said that it knows both of these addresses. */
  async knowEachOther(addresses: readonly string[]): Promise<void> {
    const deadline = performance.now() + KNOWN_MS_MAX;
    const knows = ({ output }: StewardProcess): boolean => {
      const said = output
        .join('')
        .split('\n')
        .filter((line) => line.includes('The processes that write quotas'));
      return addresses.every((address) => said.at(-1)?.includes(`"${address}"`) === true);
    };
    while (!this.both.every(knows)) {
      if (performance.now() > deadline) throw new Error(`They do not know each other after ${KNOWN_MS_MAX} ms.`);
      await sleep(50);
    }
  }

  /** A call to the first that must succeed. */
  async made(method: string, path: string, body: unknown): Promise<Record<string, unknown>> {
    const answer = await this.both[0].call(method, path, { body });
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  /** A project of `acme` whose members may use container-compute. */
  async aProject(projectId: string, members: readonly string[]): Promise<void> {
    await this.made('POST', '/v1/tenants/acme/projects', { id: projectId, name: projectId });
    for (const member of members) {
      await this.made('PUT', `/v1/projects/${projectId}/members/${member}`, { role: 'tenant_user' });
      await this.made('PUT', `/v1/projects/${projectId}/members/${member}/services/container-compute`, {});
    }
  }

  /** What stands in a project's ledger, as the store has it. */
  async ledgerOf(projectId: string): Promise<StoredFact[]> {
    const { rows } = await this.database.query<{ envelope: string }>(
      'select envelope from ledger.events where stream = $1 order by revision',
      [`projectQuota-${projectId}`],
    );
    return rows.map(({ envelope }) => JSON.parse(envelope) as StoredFact);
  }

  async stop(): Promise<void> {
    for (const steward of this.both) await steward.stop();
    await this.database.end();
    await this.postgres.stop();
    rmSync(this.dataDir, { recursive: true, force: true });
  }
}

export interface WriterFigures {
  readonly batches: number;
  readonly commands: number;
  readonly conflicts: number;
}

/** What the writers of one process have done since it started. */
export async function writerFigures(steward: StewardProcess): Promise<WriterFigures> {
  const text = await (await fetch(`${steward.url}/metrics`)).text();
  const figure = (name: string): number =>
    Number(new RegExp(`^steward_quota_${name} (\\d+)`, 'm').exec(text)?.[1] ?? 0);
  return {
    batches: figure('batch_commands_count'),
    commands: figure('batch_commands_sum'),
    conflicts: figure('conflicts_total'),
  };
}

/** A problem's code; where the process died or the way to it, `LOST`. */
export async function codeOf(
  steward: StewardProcess,
  token: string,
  path: string,
  body: unknown,
): Promise<{ readonly status: number; readonly code: string | null; readonly retryAfter: string | null }> {
  try {
    const { status, body: answer, headers } = await steward.call('POST', path, { token, body });
    const { code } = answer as { code?: string };
    return { status, code: code ?? null, retryAfter: headers.get('retry-after') };
  } catch {
    return { status: 0, code: 'LOST', retryAfter: null };
  }
}
