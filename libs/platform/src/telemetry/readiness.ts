import { Injectable } from '@nestjs/common';

export interface ReadinessCheck {
  readonly ok: boolean;
  /** Figures that an operator reads: lag, staleness, free bytes. Nothing secret: the route is open. */
  readonly [detail: string]: unknown;
}

export interface ReadinessAnswer {
  readonly ready: boolean;
  readonly checks: Readonly<Record<string, ReadinessCheck>>;
  readonly [fact: string]: unknown;
}

/** How long a check may take before it counts as failed, ms. */
const CHECK_MS_MAX = 2_000;

/** What `GET /readyz` answers: ready when every named check is, and while the process is not going down. */
@Injectable()
export class Readiness {
  private readonly checks = new Map<string, () => ReadinessCheck | Promise<ReadinessCheck>>();
  private readonly facts = new Map<string, unknown>();
  private readonly draining = new AbortController();

  /** Aborted when the process begins to go down: long answers end themselves then. */
  readonly drainSignal: AbortSignal = this.draining.signal;

  /** `readiness.check('store', async () => ({ ok: true, headMs: 3 }))` */
  check(name: string, check: () => ReadinessCheck | Promise<ReadinessCheck>): void {
    this.checks.set(name, check);
  }

  /** What is told beside the checks and changes nothing: `readiness.fact('appendOnlyByGrant', false)`. */
  fact(name: string, value: unknown): void {
    this.facts.set(name, value);
  }

  drain(): void {
    this.draining.abort();
  }

  async answer(): Promise<ReadinessAnswer> {
    const entries = await Promise.all(
      [...this.checks].map(async ([name, check]) => [name, await bounded(check)] as const),
    );
    if (this.drainSignal.aborted) entries.push(['shutdown', { ok: false }]);
    return {
      ready: entries.every(([, { ok }]) => ok),
      ...Object.fromEntries(this.facts),
      checks: Object.fromEntries(entries),
    };
  }
}

async function bounded(check: () => ReadinessCheck | Promise<ReadinessCheck>): Promise<ReadinessCheck> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<ReadinessCheck>((resolve) => {
    timer = setTimeout(resolve, CHECK_MS_MAX, { ok: false, why: `no answer within ${CHECK_MS_MAX} ms` });
  });
  try {
    return await Promise.race([check(), late]);
  } catch {
    // The error's text may name hosts and roles, and this answer is for everybody; whoever fails logs it.
    return { ok: false, why: 'the check failed' };
  } finally {
    clearTimeout(timer);
  }
}
