import type { Logger } from '#libs/platform';

/** One process of a service, on this machine or another. */
export interface Replica {
  readonly service: string;
  readonly host: string;
  readonly port: number;
}

/** How long a replica that failed is passed over, unless it says before that it is ready. */
const AVOID_MS = 1_000;
const PROBE_EVERY_MS = 1_000;
const PROBE_MS_MAX = 2_000;

interface Standing {
  isReady: boolean;
  avoidUntilMs: number;
}

/** `host:port` of a replica, with brackets around an IPv6 address. */
export const addressOf = ({ host, port }: Replica): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;

/** The replicas of one service: whose turn it is, and which are better left alone for a while. */
export class Replicas {
  private readonly standings = new Map<Replica, Standing>();
  private turn = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    readonly service: string,
    readonly all: readonly Replica[],
    private readonly logger: Logger,
  ) {
    for (const replica of all) this.standings.set(replica, { isReady: false, avoidUntilMs: 0 });
  }

  /** Each replica once, the next in turn first. Those that failed lately or are not ready come last, and are asked too. */
  candidates(): Replica[] {
    const first = this.turn;
    this.turn = (first + 1) % this.all.length;
    const inTurn = [...this.all.slice(first), ...this.all.slice(0, first)];
    const nowMs = performance.now();
    const isWell = (replica: Replica): boolean => {
      const standing = this.standings.get(replica);
      return standing?.isReady === true && standing.avoidUntilMs <= nowMs;
    };
    return [...inTurn.filter(isWell), ...inTurn.filter((replica) => !isWell(replica))];
  }

  /** A connection to it was refused or died. */
  failed(replica: Replica): void {
    const standing = this.standings.get(replica);
    if (standing !== undefined) standing.avoidUntilMs = performance.now() + AVOID_MS;
    this.note(replica, false);
  }

  get readyCount(): number {
    return [...this.standings.values()].filter(({ isReady }) => isReady).length;
  }

  /** Asks every replica now, and then each second, whether it is ready. */
  async watch(): Promise<void> {
    this.timer ??= setInterval(() => void this.probe(), PROBE_EVERY_MS);
    await this.probe();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private async probe(): Promise<void> {
    await Promise.all(
      this.all.map(async (replica) => {
        this.note(replica, await isReady(replica));
      }),
    );
  }

  private note(replica: Replica, isReady: boolean): void {
    const standing = this.standings.get(replica);
    if (standing === undefined || standing.isReady === isReady) return;
    standing.isReady = isReady;
    if (isReady) standing.avoidUntilMs = 0;
    const fields = { service: this.service, replica: addressOf(replica), ready: this.readyCount };
    if (isReady) this.logger.info(fields, 'A replica is ready.');
    else this.logger.warn(fields, 'A replica is not ready; the others do its work.');
  }
}

async function isReady(replica: Replica): Promise<boolean> {
  try {
    const answer = await fetch(`http://${addressOf(replica)}/readyz`, { signal: AbortSignal.timeout(PROBE_MS_MAX) });
    await answer.arrayBuffer();
    return answer.ok;
  } catch {
    return false;
  }
}
