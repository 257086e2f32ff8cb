import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { StoreUnavailable } from '#libs/eventsourcing';
import { certificatesOf, type EventStoreUrl, type Host } from './event-store-url.js';

const HEALTH_PATH = '/health/live';
/** The header tells whole seconds. */
const DATE_STEP_MS = 1_000;

/**
 * The time of the server, by the Date header of its health page. One answer tells it to a second, so what is kept is
 * how far it is ahead of the monotonic clock at the least: every answer, and every event just stored, may only raise that.
 */
export class ServerClock {
  /** The server's time less the monotonic clock, at the least. */
  private aheadMs = -Infinity;

  constructor(
    private readonly url: EventStoreUrl,
    private readonly timeoutMs: number,
  ) {}

  /** The time of an event that the server has stored by now. */
  heard(storedMs: number): void {
    this.aheadMs = Math.max(this.aheadMs, storedMs - performance.now());
  }

  /** Ms since the epoch, never ahead of the server. Throws StoreUnavailable. */
  async nowMs(): Promise<number> {
    let failure: unknown;
    for (const host of this.url.hosts)
      try {
        return await this.ask(host);
      } catch (error) {
        failure = error;
      }
    throw new StoreUnavailable('unreachable', { cause: failure });
  }

  private async ask(host: Host): Promise<number> {
    const sentMs = performance.now();
    const dateMs = Date.parse(await this.dateOf(host));
    if (Number.isNaN(dateMs)) throw new Error('The health page of the event store bears no date.');
    const nowMs = performance.now();
    // Past that the server's clock was set back, or another node answers: what was known before says nothing then.
    if (this.aheadMs > dateMs + DATE_STEP_MS - sentMs) this.aheadMs = -Infinity;
    this.aheadMs = Math.max(this.aheadMs, dateMs - nowMs);
    return Math.floor(nowMs + this.aheadMs);
  }

  private dateOf({ address, port }: Host): Promise<string> {
    const request = this.url.tls ? requestHttps : requestHttp;
    const certificates = this.url.tls ? certificatesOf(this.url) : {};
    const signal = Number.isFinite(this.timeoutMs) ? { signal: AbortSignal.timeout(this.timeoutMs) } : {};
    return new Promise((resolve, reject) => {
      request({ host: address, port, path: HEALTH_PATH, agent: false, ...certificates, ...signal }, (answer) => {
        answer.resume();
        resolve(answer.headers.date ?? '');
      })
        .on('error', reject)
        .end();
    });
  }
}
