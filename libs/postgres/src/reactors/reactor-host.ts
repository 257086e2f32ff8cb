import type { Codec, EventStore, Position, Reactor, RecordedEvent } from '#libs/eventsourcing';
import { LEASE_TIMES, LeaseSession, type LeaseTimes } from '../leases/lease.js';
import type { Database } from '../transaction.js';
import { ReactorRunner, type ReactorState } from './reactor-runner.js';

/** What a host has to say; nobody has to listen. */
export interface ReactorListener {
  /** A reaction failed and waits to be tried again, with growing pauses. */
  reactionFailed?(reactor: string, event: RecordedEvent, error: Error, attempts: number): void;
  /** A reactor stopped: an event that this release cannot read. */
  failed?(reactor: string, error: Error): void;
  /** The database or the store is out of reach; it is tried again. */
  retrying?(reactor: string, error: Error): void;
}

export interface ReactorHostOptions {
  readonly database: Database;
  readonly store: EventStore;
  readonly codec: Codec;
  readonly listener?: ReactorListener;
  readonly leaseTimes?: LeaseTimes;
}

export interface ReactorStatus {
  readonly name: string;
  /** In this process; `standby` where another one runs the reactor. */
  readonly state: ReactorState;
  /** Keys with an event whose reaction failed. */
  readonly waitingKeys: number;
  /** 0 while caught up, else the time since it last was; null where it is not run here. */
  readonly lagMs: number | null;
}

/** Runs the reactors of this process; of several processes one runs each. A rebuild knows nothing of them. */
export class ReactorHost {
  private readonly runners = new Map<string, ReactorRunner>();
  private readonly leaseSession: LeaseSession;
  private started = false;

  constructor(private readonly options: ReactorHostOptions) {
    this.leaseSession = new LeaseSession(options.database);
  }

  /** Before the start. */
  register(reactor: Reactor): void {
    const { name } = reactor;
    if (this.runners.has(name)) throw new Error(`Two reactors are called ${name}.`);
    if (this.started) throw new Error(`The reactor ${name} came after the start.`);
    const { database, store, codec, listener, leaseTimes = LEASE_TIMES } = this.options;
    const runner = new ReactorRunner({
      database,
      store,
      codec,
      reactor,
      leaseSession: this.leaseSession,
      leaseTimes,
      onFailedReaction: (event, error, attempts) => listener?.reactionFailed?.(name, event, error, attempts),
      onFailure: (error) => listener?.failed?.(name, error),
      onRetry: (error) => listener?.retrying?.(name, error),
    });
    this.runners.set(name, runner);
  }

  /** Resolves when every reactor knows where it begins: what is written from then on, none of them misses. */
  async start(): Promise<void> {
    this.started = true;
    for (const runner of this.runners.values()) {
      await runner.register();
      runner.start();
    }
  }

  /** Cuts the reactions in hand off, which are begun anew at the next start, and gives the leases back. */
  async stop(): Promise<void> {
    await Promise.all([...this.runners.values()].map((runner) => runner.stop()));
    this.leaseSession.close();
  }

  /** Waits until this process has reacted to everything up to the position: false when the time is over. */
  async reach(name: string, position: Position, timeoutMs: number): Promise<boolean> {
    const runner = this.runners.get(name);
    if (runner === undefined) throw new Error(`No reactor is called ${name}.`);
    return runner.reach(position, timeoutMs);
  }

  status(): ReactorStatus[] {
    return [...this.runners].map(([name, { state, waitingKeys, lagMs }]) => ({ name, state, waitingKeys, lagMs }));
  }
}
