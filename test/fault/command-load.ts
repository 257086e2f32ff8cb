import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { v7 as uuidV7 } from 'uuid';
import type { RunningCluster } from './running-cluster.js';

/** How long one command may take with all its repetitions. */
const COMMAND_MS_MAX = 60_000;
const REFUSED_PAUSE_MS = 200;
/** A machine that cannot keep up is not given more and more; the figures show what it was given. */
const OUTSTANDING_MAX = 400;

interface Command {
  readonly path: string;
  readonly body: object;
  readonly onDone: (answer: Record<string, unknown>) => void;
}

/** A steady load of commands through the front: each with an Idempotency-Key of its own, repeated under it until it is done. */
export class CommandLoad {
  sent = 0;
  done = 0;
  repeated = 0;
  /** Answers of 503, by code, and requests that the front itself was too dead to take. */
  readonly passing = new Map<string, number>();
  /** What no client should have seen. */
  readonly offences: string[] = [];
  /** Of every command until it was done, with its repetitions. */
  readonly tookMs: number[] = [];
  /** Keys that were made, and how often each was extended. */
  readonly extensions = new Map<string, number>();
  readonly reservations: string[] = [];
  lastPosition = '';
  private readonly outstanding = new Set<Promise<void>>();
  private readonly keyIds: string[] = [];
  private readonly stopping = new AbortController();
  private loop: Promise<void> | undefined;
  private isFrontAway = false;

  constructor(
    private readonly cluster: RunningCluster,
    private readonly random: () => number,
    private readonly projects: readonly string[],
    private readonly perSecond: number,
  ) {}

  begin(): void {
    this.loop ??= this.run();
  }

  /** Resolves when every command that was begun has come to its end. */
  async end(): Promise<void> {
    this.stopping.abort();
    await this.loop;
    await Promise.all(this.outstanding);
  }

  /** While the front itself is killed and comes back, and at no other time, a connection may be refused or break. */
  async whileFrontIsAway<T>(work: () => Promise<T>): Promise<T> {
    this.isFrontAway = true;
    try {
      return await work();
    } finally {
      this.isFrontAway = false;
    }
  }

  percentileMs(share: number): number {
    const sorted = [...this.tookMs].sort((a, b) => a - b);
    return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0);
  }

  /** By the clock and not one after the other, so that what is slow does not make the load less. */
  private async run(): Promise<void> {
    let dueMs = performance.now();
    while (!this.stopping.signal.aborted) {
      const nowMs = performance.now();
      if (this.outstanding.size >= OUTSTANDING_MAX) dueMs = nowMs;
      for (; dueMs < nowMs; dueMs += 1_000 / this.perSecond) {
        const command = this.command();
        this.sent += 1;
        const work = this.bringToItsEnd(command).finally(() => this.outstanding.delete(work));
        this.outstanding.add(work);
      }
      await sleep(5);
    }
  }

  private oneOf<T>(list: readonly T[]): T {
    return list[Math.floor(this.random() * list.length)] as T;
  }

  private command(): Command {
    const kind = this.random();
    const project = this.oneOf(this.projects);
    if (kind < 0.4) return this.reservation(project);
    if (kind < 0.7 && this.keyIds.length > 0) return this.extension(this.oneOf(this.keyIds));
    return {
      path: `/v1/projects/${project}/keys`,
      body: { name: `load-${this.sent}`, owner: { type: 'user', id: 'ada' }, ttlDays: 30 },
      onDone: ({ key }) => {
        const { id } = key as { id: string };
        this.keyIds.push(id);
        this.extensions.set(id, 0);
      },
    };
  }

  private extension(keyId: string): Command {
    return {
      path: `/v1/keys/${keyId}/extend`,
      body: { days: 1 },
      onDone: () => this.extensions.set(keyId, (this.extensions.get(keyId) ?? 0) + 1),
    };
  }

  private reservation(project: string): Command {
    const id = uuidV7();
    const items = [{ service: 'container-compute', resource: 'gpu', amount: 1 }];
    return {
      path: `/v1/projects/${project}/reservations`,
      body: { id, userId: 'ada', items, ttlSeconds: 3_600 },
      onDone: () => this.reservations.push(id),
    };
  }

  private async bringToItsEnd({ path, body, onDone }: Command): Promise<void> {
    const headers = { 'idempotency-key': randomUUID() };
    const beganMs = performance.now();
    for (let attempt = 0; performance.now() - beganMs < COMMAND_MS_MAX; attempt += 1) {
      if (attempt > 0) this.repeated += 1;
      const answer = await this.cluster.call('POST', path, { body, headers }).catch((error: unknown) => error as Error);
      if (answer instanceof Error || !('status' in answer)) {
        if (!this.isFrontAway) {
          this.offences.push(`POST ${path}: no answer (${causeOf(answer)})`);
          return;
        }
        this.note('front away');
        await sleep(REFUSED_PAUSE_MS);
        continue;
      }
      if (answer.status < 300) {
        onDone(answer.body);
        this.done += 1;
        this.tookMs.push(performance.now() - beganMs);
        const position = answer.headers.get('steward-position') ?? '';
        if (position > this.lastPosition) this.lastPosition = position;
        return;
      }
      const { code } = answer.body as { code?: string };
      const retryAfter = answer.headers.get('retry-after');
      if (answer.status !== 503 || retryAfter === null) {
        this.offences.push(`POST ${path}: ${answer.status} ${String(code)}, Retry-After ${String(retryAfter)}`);
        return;
      }
      this.note(String(code));
      await sleep(Number(retryAfter) * 1_000);
    }
    this.offences.push(`POST ${path}: not done within ${COMMAND_MS_MAX} ms`);
  }

  private note(what: string): void {
    this.passing.set(what, (this.passing.get(what) ?? 0) + 1);
  }
}

function causeOf(error: object): string {
  const { cause, message } = error as Error & { cause?: { code?: string; message?: string } };
  return cause?.code ?? cause?.message ?? message;
}
