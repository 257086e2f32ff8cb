import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import {
  createServer,
  type IncomingMessage,
  request as httpRequest,
  type Server,
  type ServerResponse,
} from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { errorCodes } from '#libs/contracts';
import { describeOnReal, freePorts } from '#libs/testing';
import { samplePath } from './front-config.js';
import { RunningFront, whyNoNginx } from './running-front.js';
import { serviceByRoute } from './service-routes.js';

const ADDRESSES: Record<string, readonly string[]> = {
  keys: ['127.0.1.1', '127.0.1.2'],
  quotas: ['127.0.2.1', '127.0.2.2'],
  tenancy: ['127.0.3.1', '127.0.3.2'],
  audit: ['127.0.4.1', '127.0.4.2'],
};
const NAMES_SEEN_MS_MAX = 10_000;
const LOGGED_MS_MAX = 5_000;
/** Together far more than the buffers of the sockets on the way hold. */
const PART = Buffer.alloc(1024 * 1024);
const PARTS = 64;
/** A sender that got rid of nothing for this long is held back. */
const STALL_MS = 300;

type Handler = (request: IncomingMessage, response: ServerResponse) => unknown;

interface Heard {
  readonly address: string;
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

describeOnReal('nginx', whyNoNginx(), 'The front, under a real nginx', () => {
  let front: RunningFront;
  let port: number;
  let handler: Handler;
  let running: Map<string, Server>;
  const heard: Heard[] = [];

  const echo: Handler = async (request, response) => {
    const { localAddress = '' } = request.socket;
    const { method = '', url = '', headers } = request;
    const seen = { address: localAddress, method, url, headers, body: await text(request) };
    heard.push(seen);
    response.setHeader('content-type', 'application/json').setHeader('steward-request-id', 'of-the-service');
    response.end(JSON.stringify(seen));
  };
  const startReplica = async (address: string): Promise<void> => {
    const server = createServer((request, response) => void handler(request, response)).listen(port, address);
    await once(server, 'listening');
    running.set(address, server);
  };
  const stopReplica = async (address: string): Promise<void> => {
    const server = running.get(address);
    running.delete(address);
    const closed = new Promise((resolve) => server?.close(resolve));
    server?.closeAllConnections();
    await closed;
  };
  const problemOf = async (answer: Response): Promise<Record<string, unknown>> => {
    expect(answer.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
    const problem = (await answer.json()) as Record<string, unknown>;
    expect(answer.headers.get('steward-request-id')).toBe(problem['requestId']);
    expect(problem['requestId']).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    const { status, title } = errorCodes[problem['code'] as keyof typeof errorCodes];
    expect(problem).toMatchObject({ type: `/docs/errors#${String(problem['code'])}`, status, title });
    expect(answer.status).toBe(status);
    return problem;
  };

  /** nginx writes the line after the answer. */
  const logLineOf = async (requestId: unknown): Promise<Record<string, unknown> | undefined> => {
    const deadline = performance.now() + LOGGED_MS_MAX;
    for (;;) {
      const line = front.answered.find((one) => one['requestId'] === requestId);
      if (line !== undefined || performance.now() > deadline) return line;
      await delay(10);
    }
  };

  let listed: (service: string) => readonly string[];

  beforeAll(async () => {
    const [replicaPort = 0, grpcPort = 0] = await freePorts(2);
    port = replicaPort;
    running = new Map();
    listed = (service) => ADDRESSES[service] ?? [];
    front = await RunningFront.start({ addressesOf: (service) => listed(service), port, grpcPort });
    for (const address of Object.values(ADDRESSES).flat()) await startReplica(address);
  });
  beforeEach(() => {
    handler = echo;
    heard.length = 0;
  });
  afterAll(async () => {
    await front.stop();
    for (const address of [...running.keys()]) await stopReplica(address);
  });

  it('sends every route to a replica of its service, as it came', async () => {
    for (const [route, service] of serviceByRoute) {
      const [method = '', path = ''] = route.split(' ');
      const url = `${samplePath(path)}?limit=2&name=a%2Fb`;
      const body = method === 'GET' || method === 'DELETE' ? null : `{"of":"${route}"}`;
      const answer = await fetch(front.url + url, { method, body, headers: { authorization: 'Bearer stw_test' } });
      const seen = (await answer.json()) as Heard;
      expect(seen).toMatchObject({ method, url, body: body ?? '' });
      expect([route, ADDRESSES[service]]).toEqual([route, expect.arrayContaining([seen.address])]);
      expect(seen.headers).toMatchObject({ authorization: 'Bearer stw_test', host: new URL(front.url).host });
      expect(answer.headers.get('steward-request-id')).toBe('of-the-service');
    }
  });

  it('lets the replicas of a service take turns', async () => {
    for (let n = 0; n < 40; n += 1) await (await fetch(`${front.url}/v1/keys`)).text();
    const turns = ADDRESSES['keys']?.map((one) => heard.filter(({ address }) => address === one).length) ?? [];
    expect(Math.min(...turns)).toBeGreaterThan(5);
  });

  it('adds the address that it sees to those that the caller names', async () => {
    const answer = await fetch(`${front.url}/v1/keys`, { headers: { 'x-forwarded-for': '192.0.2.1' } });
    expect(((await answer.json()) as Heard).headers['x-forwarded-for']).toBe('192.0.2.1, 127.0.0.1');
  });

  it('a replica that is dead and still listed is passed over by what may be asked of another', async () => {
    await stopReplica('127.0.2.1');
    try {
      for (let n = 0; n < 20; n += 1)
        for (const method of ['GET', 'POST', 'PATCH']) {
          const body = method === 'GET' ? null : '{}';
          const answer = await fetch(`${front.url}/v1/catalogue`, { method, body });
          expect([answer.status, ((await answer.json()) as Heard).address]).toEqual([200, '127.0.2.2']);
        }
    } finally {
      await startReplica('127.0.2.1');
    }
  });

  it.each(['POST', 'PATCH', 'PUT', 'DELETE'])(
    'a %s whose replica breaks off is sent once, and its outcome is said to be unknown',
    async (method) => {
      handler = async (request, response) => {
        await text(request);
        heard.push({ address: '', method: '', url: '', headers: {}, body: '' });
        response.destroy();
      };
      for (const body of method === 'DELETE' ? [null] : [null, '{}']) {
        heard.length = 0;
        const answer = await fetch(`${front.url}/v1/keys/some`, { method, body });
        expect(await problemOf(answer)).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
        expect(answer.headers.get('retry-after')).toBe('1');
        expect(heard.length).toBe(1);
      }
    },
  );

  it('a read whose replica breaks off is asked of another', async () => {
    handler = (request, response) => {
      handler = echo;
      response.destroy();
      request.resume();
    };
    expect((await fetch(`${front.url}/v1/keys`)).status).toBe(200);
  });

  it('where no replica can be reached the caller is told so, and to come again', async () => {
    const addresses = ADDRESSES['audit'] ?? [];
    for (const address of addresses) await stopReplica(address);
    try {
      for (const method of ['GET', 'POST', 'DELETE']) {
        const answer = await fetch(`${front.url}/v1/audit/events`, { method });
        const { requestId, ...problem } = await problemOf(answer);
        expect(problem).toMatchObject({
          code: 'SERVICE_UNAVAILABLE',
          detail: 'No replica of this service can be reached.',
        });
        expect(answer.headers.get('retry-after')).toBe('1');
        expect(await logLineOf(requestId)).toMatchObject({ method, status: 503, path: '/v1/audit/events' });
      }
    } finally {
      for (const address of addresses) await startReplica(address);
    }
  });

  it('a replica that comes or goes is seen without a word to the front', async () => {
    const only = async (address: string): Promise<void> => {
      const deadline = performance.now() + NAMES_SEEN_MS_MAX;
      for (let same = 0; same < 10 && performance.now() < deadline;) {
        const seen = (await (await fetch(`${front.url}/v1/tenants`)).json()) as Heard;
        same = seen.address === address ? same + 1 : 0;
        await delay(20);
      }
      expect(((await (await fetch(`${front.url}/v1/tenants`)).json()) as Heard).address).toBe(address);
    };
    const before = listed;
    await startReplica('127.0.3.3');
    try {
      listed = (service) => (service === 'tenancy' ? ['127.0.3.3'] : before(service));
      await only('127.0.3.3');
    } finally {
      listed = before;
      await stopReplica('127.0.3.3');
    }
  });

  it.each([
    ['a path that no service has', 'GET /v2/keys HTTP/1.1\r\nHost: x', 'NOT_FOUND'],
    ['a path that no service may be asked through it', 'GET /metrics HTTP/1.1\r\nHost: x', 'NOT_FOUND'],
    ['a request that is none', 'GET /v1/keys HTTP/1.1', 'HEADER_MALFORMED'],
    ['a path that cannot be read', 'GET /v1/keys/%zz HTTP/1.1\r\nHost: x', 'HEADER_MALFORMED'],
    ['TRACE', 'TRACE /v1/keys HTTP/1.1\r\nHost: x', 'METHOD_NOT_ALLOWED'],
    ['too long a header', `GET /v1/keys HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}`, 'HEADERS_TOO_LARGE'],
    ['too long a path', `GET /v1/${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x`, 'HEADERS_TOO_LARGE'],
  ])('%s is answered by a problem document', async (_what, head, code) => {
    const socket = connect(Number(new URL(front.url).port), '127.0.0.1');
    // It may be answered and closed before all of it is sent.
    socket.on('error', () => undefined);
    socket.write(`${head}\r\nConnection: close\r\n\r\n`);
    const [top = '', body = ''] = (await text(socket)).split('\r\n\r\n');
    const [first = '', ...lines] = top.split('\r\n');
    const headers = new Headers(lines.map((line) => line.split(/: (.*)/s).slice(0, 2) as [string, string]));
    const status = Number(first.split(' ')[1]);
    headers.delete('content-length');
    expect(await problemOf(new Response(body, { status, headers }))).toMatchObject({ code });
    expect(heard).toEqual([]);
  });

  it('passes bodies as they come, either way', async () => {
    const heardParts: string[] = [];
    let answer: ServerResponse | undefined;
    let onPart: () => void = () => undefined;
    handler = (request, response) => {
      answer = response;
      request.on('data', (part: Buffer) => {
        heardParts.push(part.toString());
        onPart();
      });
    };
    const part = (): Promise<void> =>
      new Promise((resolve) => {
        onPart = resolve;
      });
    const asked = httpRequest(`${front.url}/v1/projects/some/reconcile`, { method: 'POST', agent: false });
    for (const line of ['one\n', 'two\n']) {
      const arrives = part();
      asked.write(line);
      await arrives;
    }
    expect(heardParts.join('')).toBe('one\ntwo\n');
    const answers = once(asked, 'response') as Promise<[IncomingMessage]>;
    answer?.write('first\n');
    const [response] = await answers;
    for (const line of ['first\n', 'second\n']) {
      const [bytes] = (await once(response, 'data')) as [Buffer];
      expect(bytes.toString()).toBe(line);
      if (line === 'first\n') answer?.write('second\n');
    }
    answer?.end('last\n');
    asked.end();
    expect(await text(response)).toBe('last\n');
  }, 30_000);

  it('keeps no answer that its caller does not read', async () => {
    let sent = 0;
    handler = async (_request, response) => {
      for (; sent < PARTS; sent += 1) if (!response.write(PART)) await once(response, 'drain');
      response.end();
    };
    const [response] = (await once(
      httpRequest(`${front.url}/v1/audit/events`, { agent: false }).end(),
      'response',
    )) as [IncomingMessage];
    for (let before = -1; before < sent;) {
      before = sent;
      await delay(STALL_MS);
    }
    expect(sent).toBeLessThan(PARTS / 2);
    let bytes = 0;
    for await (const part of response) bytes += (part as Buffer).length;
    expect(bytes).toBe(PARTS * PART.length);
  }, 30_000);

  it('answers for its own health, and with the whole description of the routes', async () => {
    expect(await (await fetch(`${front.url}/healthz`)).json()).toEqual({ status: 'ok' });
    const answer = await fetch(`${front.url}/openapi.json`);
    expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(await answer.text()).toBe(readFileSync(new URL('../../docs/api/openapi.json', import.meta.url), 'utf8'));
    expect(heard).toEqual([]);
  });
});
