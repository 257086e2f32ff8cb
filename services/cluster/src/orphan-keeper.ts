import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Kept } from './keeper.js';

const program = fileURLToPath(new URL('./keeper.js', import.meta.url));
const END_MS_MAX = 5_000;

/**
 * Sees to it that no process outlives this one, however this one ends: a small process at the other end of a pipe knows
 * which there are, and ends them when the pipe closes. Brokers and PostgreSQL would not notice by themselves.
 */
export class OrphanKeeper {
  private readonly kept = new Map<string, Kept>();
  private isClosed = false;
  private child: ChildProcess;

  constructor() {
    this.child = this.spawn();
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
  }

  private spawn(): ChildProcess {
    const child = spawn(process.execPath, [program], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
    child.stdin.on('error', () => undefined);
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
