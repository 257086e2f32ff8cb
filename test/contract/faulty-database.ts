import type { PoolClient } from 'pg';
import type { Database } from '../../libs/postgres/src/transaction.js';

export type Moment = 'before' | 'after';

/**
 * The database as one process sees it. At the chosen statement the process dies: its connection is cut and nothing it
 * asks is answered any more. Or it is frozen: what it asks is sent when it is thawed.
 */
export class FaultyDatabase implements Database {
  private dead = false;
  private thaw: Promise<void> | undefined;
  private plan: { text: RegExp; moment: Moment } | undefined;
  private readonly clients = new Set<PoolClient>();

  constructor(private readonly pool: Database) {}

  get isDead(): boolean {
    return this.dead;
  }

  dieAt(text: RegExp, moment: Moment): void {
    this.plan = { text, moment };
  }

  die(): void {
    this.dead = true;
    for (const client of this.clients)
      (client as unknown as { connection: { stream: { destroy: () => void } } }).connection.stream.destroy();
  }

  /** Answers the function that lets it go on. */
  freeze(): () => void {
    let release: () => void = () => undefined;
    this.thaw = new Promise((resolve) => {
      release = resolve;
    });
    return () => {
      this.thaw = undefined;
      release();
    };
  }

  readonly connect = (async (): Promise<PoolClient> => {
    await this.thaw;
    this.assertAlive();
    const client = await this.pool.connect();
    this.clients.add(client);
    return new Proxy(client, {
      get: (target, property) => {
        if (property === 'release')
          return (error?: Error): void => {
            this.clients.delete(client);
            target.release(this.dead ? new Error('dead') : error);
          };
        const value: unknown = Reflect.get(target, property, target);
        if (property === 'query')
          return (...args: unknown[]) => this.ask(args, value as (...a: unknown[]) => unknown, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
  }) as Database['connect'];

  readonly query = ((...args: unknown[]) =>
    this.ask(args, (this.pool.query as (...a: unknown[]) => unknown).bind(this.pool), this.pool)) as Database['query'];

  private async ask(args: unknown[], query: (...args: unknown[]) => unknown, target: unknown): Promise<unknown> {
    await this.thaw;
    this.assertAlive();
    const hit = this.plan?.text.test(String(args[0])) === true;
    if (hit && this.plan?.moment === 'before') this.die();
    this.assertAlive();
    const answer = await Reflect.apply(query, target, args);
    if (hit) this.die();
    this.assertAlive();
    return answer;
  }

  private assertAlive(): void {
    if (this.dead) throw new Error('Connection terminated: the process is dead.');
  }
}
