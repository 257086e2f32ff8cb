import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { createLogger } from '../telemetry/logger.js';
import { closeGracefully, closeOnSignals } from './shutdown.js';
import { connected, parseAnswer, untilClosed } from './testing/raw-socket.js';
import { startThings, type ThingApp } from './testing/thing-app.js';

const silent = createLogger({ level: 'silent' });

const header = 'POST /v1/things HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n';

/** A request that its handler holds open until the answer to this is called. */
async function heldRequest(things: ThingApp): Promise<{ answer: Promise<string>; release: () => void }> {
  let release: () => void = () => undefined;
  things.probe.release = new Promise((resolve) => {
    release = resolve;
  });
  const arrived = new Promise<void>((resolve) => {
    things.probe.arrived = resolve;
  });
  const socket = await connected(things.port);
  const answer = untilClosed(socket);
  socket.write(`${header}{"name":"a"}`);
  await arrived;
  return { answer, release };
}

describe('a graceful shutdown', () => {
  it('lets the requests in flight finish and takes no new connection', async () => {
    const things = await startThings();
    const { answer, release } = await heldRequest(things);
    const closed = closeGracefully(things.app, { drainMs: 5_000 });
    await expect(fetch(`${things.url}/healthz`)).rejects.toThrow();
    release();
    expect(parseAnswer(await answer).status).toBe(201);
    await closed;
  });

  it('does not wait for connections that are only kept alive', async () => {
    const things = await startThings();
    const agent = new Agent({ keepAlive: true });
    const [response] = (await once(get(`${things.url}/healthz`, { agent }), 'response')) as [IncomingMessage];
    response.resume();
    await once(response, 'end');
    const beganMs = performance.now();
    await closeGracefully(things.app, { drainMs: 30_000 });
    expect(performance.now() - beganMs).toBeLessThan(5_000);
    agent.destroy();
  });

  it('breaks a request that does not end in time', async () => {
    const things = await startThings();
    const { answer, release } = await heldRequest(things);
    await closeGracefully(things.app, { drainMs: 200 });
    expect(await answer).toBe('');
    release();
  });

  it('exits 0 once, however often the signal comes', async () => {
    const things = await startThings();
    const codes: number[] = [];
    const before = process.listeners('SIGTERM');
    const exited = new Promise<void>((resolve) => {
      closeOnSignals(things.app, {
        logger: silent,
        exit: (code) => {
          codes.push(code);
          resolve();
        },
      });
    });
    const [ours] = process.listeners('SIGTERM').filter((one) => !before.includes(one));
    ours?.('SIGINT');
    ours?.('SIGTERM');
    await exited;
    expect(codes).toEqual([0]);
    for (const signal of ['SIGTERM', 'SIGINT'] as const) if (ours !== undefined) process.removeListener(signal, ours);
  });
});
