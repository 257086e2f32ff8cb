import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { StoreUnavailable } from '#libs/eventsourcing';
import { parseEventStoreUrl } from './event-store-url.js';
import { ServerClock } from './server-clock.js';

const SECOND_MS = 1_000;

describe('the clock of the server', () => {
  let server: Server;
  let serverMs = 0;
  let clock: ServerClock;

  beforeEach(async () => {
    server = createServer((_, answer) => answer.writeHead(204, { date: new Date(serverMs).toUTCString() }).end());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    clock = new ServerClock(parseEventStoreUrl(`esdb://127.0.0.1:${port}?tls=false`), 5 * SECOND_MS);
  });

  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  it('is never told ahead of the server, and behind it by a second at most', async () => {
    serverMs = Date.parse('2031-01-01T00:00:00.700Z');
    const nowMs = await clock.nowMs();
    expect(nowMs).toBeGreaterThanOrEqual(serverMs - SECOND_MS);
    expect(nowMs).toBeLessThanOrEqual(serverMs);
  });

  it('is known better by an event that was just stored', async () => {
    serverMs = Date.parse('2031-01-01T00:00:00.700Z');
    clock.heard(serverMs);
    const nowMs = await clock.nowMs();
    expect(nowMs).toBeGreaterThanOrEqual(serverMs);
    expect(nowMs).toBeLessThan(serverMs + SECOND_MS);
  });

  it('is believed when it was set back, or another node answers', async () => {
    serverMs = Date.parse('2031-01-01T00:00:00Z');
    await clock.nowMs();
    serverMs -= 3_600 * SECOND_MS;
    expect(await clock.nowMs()).toBeLessThanOrEqual(serverMs + SECOND_MS);
  });

  it('that does not answer is an unavailable store', async () => {
    server.close();
    await expect(clock.nowMs()).rejects.toThrow(StoreUnavailable);
  });
});
