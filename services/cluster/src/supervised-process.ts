import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '#libs/platform';
import { Backoff } from './backoff.js';
import type { OrphanKeeper } from './orphan-keeper.js';
import type { PlannedProcess } from './plan.js';
import { isReady } from './readiness.js';

const READY_MS_MAX = 120_000;
const ASK_EVERY_MS = 200;
/** Longer than a program takes to drain. */
const STOP_MS_MAX = 15_000;

export interface SupervisedParts {
  readonly logger: Logger;
  readonly keeper: Pick<OrphanKeeper, 'keep' | 'forget'>;
}

/** A process that is started again whenever it ends, until it is stopped. */
export class SupervisedProcess {
  private readonly backoff = new Backoff();
  private readonly stopping = new AbortController();
  private child: ChildProcess | undefined;
  private hasBeenReady = false;

  constructor(
    readonly plan: PlannedProcess,
    private readonly parts: SupervisedParts,
  ) {}

  get pid(): number | undefined {
    return this.child?.pid;
  }

  /** Starts it and resolves when it is ready for the first time. Throws where it ends before, or is not in time. */
  async start(signal: AbortSignal): Promise<void> {
    const child = this.spawn();
    const deadline = performance.now() + READY_MS_MAX;
    while (!(await isReady(this.plan.http))) {
      signal.throwIfAborted();
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null)
        throw new Error(`The process ${this.plan.name} ended before it was ready.`);
      if (performance.now() > deadline)
        throw new Error(`The process ${this.plan.name} was not ready within ${READY_MS_MAX / 1_000} s.`);
      await sleep(ASK_EVERY_MS);
    }
    this.hasBeenReady = true;
  }

  /** SIGTERM, and SIGKILL for what does not end; `hurry` is aborted when nobody waits any more. */
  async stop(hurry: AbortSignal): Promise<void> {
    this.stopping.abort();
    const { child } = this;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    const kill = (): void => void child.kill('SIGKILL');
    const late = setTimeout(kill, STOP_MS_MAX);
    hurry.addEventListener('abort', kill);
    if (hurry.aborted) kill();
    await ended;
    clearTimeout(late);
    hurry.removeEventListener('abort', kill);
  }

  private spawn(): ChildProcess {
    const { name, script, args, env, http, grpc } = this.plan;
    const { logger, keeper } = this.parts;
    const child = spawn(process.execPath, [script, ...args], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      // A session of its own keeps the terminal's Ctrl-C away, so that they end in order.
      detached: true,
    });
    this.child = child;
    for (const stream of [child.stdout, child.stderr]) passOn(stream, name, logger);
    child.once('error', (err) => {
      // What could not even be started has no exit.
      if (child.pid === undefined) this.startAgain({ err });
    });
    child.once('exit', (exitCode, signal) => {
      keeper.forget(name);
      this.startAgain({ exitCode, signal });
    });
    if (child.pid !== undefined) keeper.keep(name, child.pid, 'SIGTERM');
    logger.info({ process: name, pid: child.pid, http, ...(grpc === undefined ? {} : { grpc }) }, 'A process started.');
    return child;
  }

  private startAgain(ending: object): void {
    if (this.stopping.signal.aborted || !this.hasBeenReady) return;
    const delayMs = this.backoff.nextMs();
    const { logger } = this.parts;
    logger.error({ process: this.plan.name, ...ending, delayMs }, 'A process ended and is started again.');
    sleep(delayMs, undefined, { signal: this.stopping.signal }).then(
      () => this.spawn(),
      () => undefined,
    );
  }
}

/** Each line as it came, with the name of its process. What is no JSON becomes a line of the log. */
function passOn(stream: Readable, name: string, logger: Logger): void {
  const lines = createInterface({ input: stream });
  lines.on('line', (line) => {
    if (line.startsWith('{"')) process.stdout.write(`{"process":"${name}",${line.slice(1)}\n`);
    else if (line.trim() !== '') logger.warn({ process: name }, line);
  });
  // A process that is killed breaks its pipes.
  lines.on('error', () => undefined);
  stream.on('error', () => undefined);
}
