import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Agent, type IncomingMessage, request as httpRequest, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLogger } from '#libs/platform';
import { loopbackCertificate } from '../../../../libs/kurrentdb/src/testing/loopback-certificate.js';
import { isReady } from '../readiness.js';
import { Front } from './front.js';
import { type Handler, ReplicaServer } from './testing/replica-server.js';

const MIB = 1024 * 1024;
const logger = createLogger({ level: 'silent' });
const config = { host: '127.0.0.1', port: 0, trustedProxies: [], tls: undefined };
const named =
  (name: string): Handler =>
  (_request, response) => {
    response.setHeader('x-replica', name);
    response.end(name);
  };

const replicas: ReplicaServer[] = [];
let front: Front | undefined;

async function replica(service: string, paths: readonly string[], handle: Handler): Promise<ReplicaServer> {
  const started = await ReplicaServer.start(service, paths, handle);
  replicas.push(started);
  return started;
}

/** In front of one service `keys` with these replicas, and of a service `tenancy` that refuses what nobody has. */
async function inFrontOf(
  handlers: readonly Handler[],
  trustedProxies: readonly string[] = [],
): Promise<ReplicaServer[]> {
  const tenancy = await replica('tenancy', ['/v1/tenants', '/v1/whoami'], (_request, response) => {
    response.statusCode = 404;
    response.end('tenancy');
  });
  const keys = await Promise.all(handlers.map((handle) => replica('keys', ['/v1/keys', '/v1/whoami'], handle)));
  front = await Front.start({
    config: { ...config, trustedProxies },
    services: { tenancy: [tenancy.replica], keys: keys.map((one) => one.replica) },
    watched: {},
    logger,
  });
  await front.learned;
  return keys;
}

const call = (path: string, init?: RequestInit): Promise<Response> => fetch(`${front?.url ?? ''}${path}`, init);
const text = async (path: string, init?: RequestInit): Promise<string> => (await call(path, init)).text();
const problem = async (answer: Response): Promise<Record<string, unknown>> => (await answer.json()) as never;

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`It did not come true that ${what}.`);
    await sleep(10);
  }
}

afterEach(async () => {
  await front?.stop(0);
  front = undefined;
  await Promise.all(replicas.splice(0).map((one) => one.kill()));
});

describe('the front', () => {
  it('gives each request to the next replica of the service that has its path', async () => {
    await inFrontOf([named('a'), named('b')]);
    const answers = [
      await text('/v1/keys'),
      await text('/v1/keys?x=1'),
      await text('/v1/keys'),
      await text('/v1/keys'),
    ];
    expect(answers.sort()).toEqual(['a', 'a', 'b', 'b']);
    expect(await text('/v1/tenants')).toBe('tenancy');
    expect((await call('/v1/nobody-has-this')).status).toBe(404);
  });

  it('describes all services in one document, and is ready when each has a replica that is', async () => {
    const [a, b] = await inFrontOf([named('a'), named('b')]);
    const { paths, components } = (await (await call('/openapi.json')).json()) as Record<string, object>;
    expect(paths).toEqual({
      '/v1/keys': { get: 'keys' },
      '/v1/tenants': { get: 'tenancy' },
      '/v1/whoami': { get: 'tenancy' },
    });
    expect(components).toEqual({ schemas: { keys: { type: 'object' }, tenancy: { type: 'object' } } });
    const ready = await call('/readyz');
    expect([ready.status, await ready.json()]).toEqual([
      200,
      {
        ready: true,
        checks: { tenancy: { ok: true, ready: 1, replicas: 1 }, keys: { ok: true, ready: 2, replicas: 2 } },
      },
    ]);
    await a?.kill();
    await until('one replica is missed', async () => (await text('/readyz')).includes('"ready":1,"replicas":2'));
    expect((await call('/readyz')).status).toBe(200);
    await b?.kill();
    await until('the front is not ready', async () => (await call('/readyz')).status === 503);
    expect(await text('/healthz')).toBe('{"alive":true}');
  });

  it('is seen to be ready over TLS, whatever name its certificate bears', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'steward-front-'));
    const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    await writeFile(certFile, loopbackCertificate.cert);
    await writeFile(keyFile, loopbackCertificate.key);
    const { replica: tenancy } = await replica('tenancy', [], named('a'));
    front = await Front.start({
      config: { ...config, tls: { certFile, keyFile } },
      services: { tenancy: [tenancy] },
      watched: {},
      logger,
    });
    await rm(folder, { recursive: true });
    expect(front.url).toMatch(/^https:/);
    const { url } = front;
    await front.learned;
    expect(await isReady(url)).toBe(true);
    await front.stop(0);
    expect(await isReady(url)).toBe(false);
  });

  it('hands a request that a dead replica refused to the living one, body and all, and comes back to it', async () => {
    const echo: Handler = (request, response) => void request.pipe(response);
    const [a] = await inFrontOf([echo, echo]);
    await a?.kill();
    for (let n = 0; n < 6; n += 1) expect(await text('/v1/keys', { method: 'POST', body: `n=${n}` })).toBe(`n=${n}`);
    const again = await ReplicaServer.start('keys', [], named('again'), a?.replica.port);
    replicas.push(again);
    await until('it has requests again', async () => (await text('/v1/keys')) === 'again');
  });

  it('answers 503 with Retry-After where no replica takes the connection', async () => {
    const [a] = await inFrontOf([named('a')]);
    await a?.kill();
    const answer = await call('/v1/keys', { method: 'POST', body: '{}' });
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
    expect(await problem(answer)).toMatchObject({ code: 'SERVICE_UNAVAILABLE', status: 503 });
  });

  it('never sends a change twice: a replica that dies over it leaves the outcome unknown', async () => {
    const die: Handler = (request) => void request.once('data', () => request.socket.destroy());
    const [a, b] = await inFrontOf([die, die]);
    const answer = await call('/v1/keys', { method: 'POST', body: '{}' });
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await problem(answer)).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    expect((a?.seen.length ?? 0) + (b?.seen.length ?? 0)).toBe(1);
  });

  it('asks the next replica what changes nothing', async () => {
    const die: Handler = (request) => request.socket.destroy();
    await inFrontOf([die, named('b')]);
    expect(await text('/v1/keys')).toBe('b');
    expect(await text('/v1/keys')).toBe('b');
  });

  it('breaks off an answer that breaks off', async () => {
    const half: Handler = (_request, response) => {
      response.write('half');
      setTimeout(() => response.destroy(), 20);
    };
    await inFrontOf([half]);
    await expect(text('/v1/keys')).rejects.toThrow();
  });

  it('says who asks, and believes nobody but the proxies that it is told to', async () => {
    const show: Handler = ({ headers }, response) => {
      response.end(JSON.stringify([headers['x-forwarded-for'], headers['x-forwarded-host'], headers.host]));
    };
    const claims = { headers: { 'x-forwarded-for': '203.0.113.9', 'x-forwarded-host': 'evil' } };
    await inFrontOf([show]);
    const host = front?.url.replace('http://', '');
    expect(JSON.parse(await text('/v1/keys', claims))).toEqual(['127.0.0.1', null, host]);
    await front?.stop(0);
    await inFrontOf([show], ['127.0.0.0/8']);
    expect(JSON.parse(await text('/v1/keys', claims))).toEqual([
      '203.0.113.9, 127.0.0.1',
      'evil',
      front?.url.replace('http://', ''),
    ]);
  });

  it('keeps what belongs to the message, and drops what belongs to a connection', async () => {
    const [keys] = await inFrontOf([
      (_request, response) => {
        response.setHeader('x-twice', ['one', 'two']);
        response.writeHead(207, 'So So', { 'keep-alive': 'timeout=5' });
        response.end();
      },
    ]);
    const headers = { 'idempotency-key': 'k', connection: 'x-mine', 'x-mine': '1', te: 'trailers', 'x-yours': '2' };
    const request = httpRequest(`${front?.url ?? ''}/v1/keys`, { headers }).end();
    const [answer] = (await once(request, 'response')) as [IncomingMessage];
    answer.resume();
    expect([answer.statusCode, answer.statusMessage, answer.headers['x-twice']]).toEqual([207, 'So So', 'one, two']);
    const [seen] = keys?.seen ?? [];
    expect(seen?.headers).toMatchObject({ 'idempotency-key': 'k', 'x-yours': '2' });
    expect(seen?.headers).not.toHaveProperty('x-mine');
    expect(seen?.headers).not.toHaveProperty('te');
  });

  it.each(['GET', 'DELETE', 'POST'])('lets no %s hide another request in its body', async (method) => {
    const [keys] = await inFrontOf([
      (request, response) => {
        request.resume().on('end', () => response.end('done'));
      },
    ]);
    const hidden = 'GET /v1/keys?hidden HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 203.0.113.9\r\n\r\n';
    const headers = { connection: 'keep-alive, content-length, host', 'content-length': String(hidden.length) };
    const request = httpRequest(`${front?.url ?? ''}/v1/keys`, { method, headers }).end(hidden);
    const [answer] = (await once(request, 'response')) as [IncomingMessage];
    answer.resume();
    expect(await text('/v1/keys?last')).toBe('done');
    expect(keys?.seen.map(({ url }) => url)).toEqual(['/v1/keys', '/v1/keys?last']);
    expect(keys?.seen[0]?.headers).toMatchObject({ 'content-length': String(hidden.length) });
  });

  it('keeps no body in memory: it takes from the client what the replica takes', async () => {
    let upstream: IncomingMessage | undefined;
    await inFrontOf([(request) => void (upstream = request)]);
    const request = httpRequest(`${front?.url ?? ''}/v1/keys`, { method: 'POST' });
    request.on('error', () => undefined);
    const piece = Buffer.alloc(MIB);
    let taken = 0;
    for (let n = 0; n < 64; n += 1) request.write(piece, () => (taken += 1));
    await until('the replica has the request', () => upstream !== undefined);
    let before = -1;
    await until('no more is taken', async () => {
      const isStill = taken === before;
      before = taken;
      await sleep(200);
      return isStill;
    });
    expect(taken).toBeLessThan(48);
    let received = 0;
    upstream?.on('data', (bytes: Buffer) => (received += bytes.length));
    request.end();
    await until('all of it arrived', () => received === 64 * MIB);
    request.destroy();
  });

  it('passes each piece of an answer on as it comes', async () => {
    let stream: ServerResponse | undefined;
    await inFrontOf([
      (_request, response) => {
        stream = response.writeHead(200);
        stream.flushHeaders();
      },
    ]);
    const answer = await call('/v1/keys');
    const reader = answer.body?.getReader();
    for (const line of ['one\n', 'two\n']) {
      stream?.write(line);
      expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe(line);
    }
    stream?.end();
    expect((await reader?.read())?.done).toBe(true);
  });

  it('tells the replica that a client has gone', async () => {
    let isTold = false;
    const [keys] = await inFrontOf([(request) => void request.on('close', () => (isTold = true))]);
    const request = httpRequest(`${front?.url ?? ''}/v1/keys`);
    request.on('error', () => undefined);
    request.end();
    await until('it has arrived', () => keys?.seen.length === 1);
    request.destroy();
    await until('the replica knows', () => isTold);
  });

  it('asks for a body only when the replica does', async () => {
    await inFrontOf([named('early')]);
    const request = httpRequest(`${front?.url ?? ''}/v1/keys`, {
      method: 'POST',
      headers: { expect: '100-continue', 'content-length': '2' },
    });
    request.on('continue', () => request.end('{}'));
    const [answer] = (await once(request, 'response')) as [IncomingMessage];
    answer.resume();
    expect(answer.headers['x-replica']).toBe('early');
  });

  it('goes on with a connection whose body was refused early', async () => {
    const refuse: Handler = (_request, response) => {
      response.statusCode = 401;
      response.end('no');
    };
    await inFrontOf([refuse]);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let n = 0; n < 3; n += 1) {
      const request = httpRequest(`${front?.url ?? ''}/v1/keys`, { method: 'POST', agent });
      for (let piece = 0; piece < 8; piece += 1) request.write(Buffer.alloc(MIB));
      request.end();
      const [answer] = (await once(request, 'response')) as [IncomingMessage];
      answer.resume();
      await once(answer, 'end');
      expect(answer.statusCode).toBe(401);
    }
    agent.destroy();
  });

  it('does not wait for ever for the rest of a body that was answered early, by whomever', async () => {
    const refuse: Handler = (_request, response) => response.writeHead(401, { 'content-length': '2' }).end('no');
    await inFrontOf([refuse]);
    const port = Number(new URL(front?.url ?? '').port);
    const isLetGo = async (path: string): Promise<void> => {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.write(`POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n`);
      const trickle = setInterval(() => socket.write('x'), 100);
      const closed = once(socket.resume(), 'close', { signal: AbortSignal.timeout(15_000) });
      await closed.finally(() => {
        clearInterval(trickle);
        socket.destroy();
      });
    };
    await Promise.all(['/metrics', '/v1/keys'].map(isLetGo));
  }, 20_000);

  it('answers what is no HTTP with a problem document', async () => {
    await inFrontOf([named('a')]);
    const socket = connect(Number(new URL(front?.url ?? '').port), '127.0.0.1');
    socket.end('nonsense\r\n\r\n');
    let said = '';
    for await (const piece of socket) said += String(piece);
    expect(said).toContain('HEADER_MALFORMED');
  });
});
