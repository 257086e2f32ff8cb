import { statfs } from 'node:fs/promises';

export interface DiskGuardOptions {
  /** Any path on the file system that is watched: for the embedded tier the cluster's directory. */
  readonly path: string;
  /** Below this changes are refused; 256 MiB unless told. */
  readonly freeBytesMin?: number;
  /** Between two looks; 1 s unless told. */
  readonly intervalMs?: number;
  readonly statfs?: (path: string) => Promise<{ readonly bavail: number; readonly bsize: number }>;
  /** Told when the verdict changes, and when the file system could not be asked. */
  readonly onChange?: (refusal: 'disk-full' | undefined, freeBytes: number) => void;
  readonly onError?: (error: unknown) => void;
}

const FREE_BYTES_MIN = 256 * 1024 * 1024;
const INTERVAL_MS = 1000;
/** What must be free again before changes are taken, as a multiple of the minimum: the verdict does not flutter. */
const RESUME_FACTOR = 1.25;

/**
 * Refuses changes before the disk is full: a PostgreSQL that cannot write its log goes down and takes the reads with
 * it. The verdict is of the last look, so that asking costs nothing; a look that failed changes no verdict.
 */
export class DiskGuard {
  private readonly freeBytesMin: number;
  private readonly ask: NonNullable<DiskGuardOptions['statfs']>;
  private verdict: 'disk-full' | undefined;
  private free: number | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: DiskGuardOptions) {
    this.freeBytesMin = options.freeBytesMin ?? FREE_BYTES_MIN;
    this.ask = options.statfs ?? statfs;
  }

  /** Free for this user, as of the last look; undefined before the first. */
  get freeBytes(): number | undefined {
    return this.free;
  }

  readonly refusal = (): 'disk-full' | undefined => this.verdict;

  async look(): Promise<void> {
    const { bavail, bsize } = await this.ask(this.options.path);
    this.free = bavail * bsize;
    const neededBytes = this.verdict === undefined ? this.freeBytesMin : this.freeBytesMin * RESUME_FACTOR;
    const verdict = this.free < neededBytes ? 'disk-full' : undefined;
    if (verdict === this.verdict) return;
    this.verdict = verdict;
    this.options.onChange?.(verdict, this.free);
  }

  /** Looks once, then again and again until stop(). Throws if the first look fails. */
  async start(): Promise<void> {
    await this.look();
    this.timer = setInterval(() => {
      this.look().catch((error: unknown) => this.options.onError?.(error));
    }, this.options.intervalMs ?? INTERVAL_MS);
    this.timer.unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }
}
