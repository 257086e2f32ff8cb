import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Kept, ORDERLY_MS_MAX } from './keeper.js';

const program = fileURLToPath(new URL('./keeper.js', import.meta.url));
/** Longer than a keeper gives those whom it ends. */
const END_MS_MAX = ORDERLY_MS_MAX + 5_000;
const ASK_EVERY_MS = 100;

/**
 * Sees to it that no process outlives this one, however this one ends: a small process at the other end of a pipe knows
 * which there are, and ends them when the pipe closes. Brokers and PostgreSQL would not notice by themselves.
 */
export class OrphanKeeper {
  private readonly kept = new Map<string, Kept>();
  private isClosed = false;
  private child: ChildProcess;

  private constructor(private readonly pidFile: string) {
    this.child = this.spawn();
  }

  /** Waits until what a killed cluster left on this data directory has been ended. */
  static async start(dataDir: string): Promise<OrphanKeeper> {
    const pidFile = join(dataDir, 'keeper.pid');
    const predecessor = Number(textOf(pidFile));
    const deadline = performance.now() + END_MS_MAX;
    while (isKeeper(predecessor) && performance.now() < deadline) await sleep(ASK_EVERY_MS);
    return new OrphanKeeper(pidFile);
  }

  /** `signal` is what asks the process to end in order. A name stands for one process at a time. */
  keep(name: string, pid: number, signal: NodeJS.Signals): void {
    if (this.kept.get(name)?.pid === pid) return;
    this.kept.set(name, { pid, signal });
    this.tell();
  }

  forget(name: string): void {
    if (this.kept.delete(name)) this.tell();
  }

  /** What is still kept is ended. */
  async close(): Promise<void> {
    this.isClosed = true;
    const { child } = this;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const late = setTimeout(() => child.kill('SIGKILL'), END_MS_MAX);
    const ended = once(child, 'exit');
    child.stdin?.end();
    await ended;
    clearTimeout(late);
    rmSync(this.pidFile, { force: true });
  }

  private spawn(): ChildProcess {
    const child = spawn(process.execPath, [program], {
      // Nothing of the environment concerns it, and passwords may stand there.
      env: {},
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    child.stdin.on('error', () => undefined);
    if (child.pid !== undefined) writeFileSync(this.pidFile, String(child.pid), { mode: 0o600 });
    child.once('exit', () => {
      if (this.isClosed) return;
      this.child = this.spawn();
      this.tell();
    });
    return child;
  }

  private tell(): void {
    this.child.stdin?.write(`${JSON.stringify([...this.kept.values()])}\n`);
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** A pid from a file may be somebody else's by now. */
function isKeeper(pid: number): boolean {
  if (!(pid > 1)) return false;
  try {
    process.kill(pid, 0);
    return process.platform !== 'linux' || readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(program);
  } catch {
    return false;
  }
}
