import { errorCodes, type ErrorCode } from '#libs/contracts';
import { commandIdOf } from '#libs/eventsourcing';
import type { Problem } from '../requests/problem.js';
import { closeGracefully } from './shutdown.js';
import { connected, parseAnswer, type RawAnswer, sendRaw, untilClosed } from './testing/raw-socket.js';
import { startThings, type ThingApp } from './testing/thing-app.js';

let things: ThingApp;
/** The same with little patience; what is slow on a busy machine must not meet it. */
let impatient: ThingApp;

beforeAll(async () => {
  things = await startThings();
  impatient = await startThings({ headerMsMax: 300, requestMsMax: 700, checkEveryMs: 50 });
});

afterAll(async () => {
  await Promise.all([things, impatient].map(({ app }) => closeGracefully(app, { drainMs: 2_000 })));
});

const json = { 'content-type': 'application/json' };

const request = (method: string, path: string, body?: string | Buffer, headers: Record<string, string> = json) =>
  fetch(`${things.url}${path}`, { method, headers, ...(body === undefined ? {} : { body }) });

const post = (body: string | Buffer, headers?: Record<string, string>) => request('POST', '/v1/things', body, headers);

async function expectProblem(response: Response, code: ErrorCode, location?: string): Promise<Problem> {
  const problem = (await response.json()) as Problem;
  const { status, title } = errorCodes[code];
  expect(problem).toMatchObject({ type: `/docs/errors#${code}`, title, status, code });
  expect(response.status).toBe(status);
  expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  expect(problem.requestId).toMatch(/^[0-9a-f-]{36}$/);
  expect(response.headers.get('steward-request-id')).toBe(problem.requestId);
  if (location !== undefined) expect(problem.errors?.map((error) => error.location)).toContain(location);
  return problem;
}

function expectRawProblem(answer: RawAnswer, code: ErrorCode): void {
  expect(answer.status).toBe(errorCodes[code].status);
  expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
  expect(JSON.parse(answer.body)).toMatchObject({ code, status: errorCodes[code].status });
}

describe('a well-formed request', () => {
  it('is answered with its id, its ETag, its position and no permission to keep it', async () => {
    const response = await post('{"name":"a"}');
    expect(response.status).toBe(201);
    expect(response.headers.get('etag')).toBe('"3"');
    expect(response.headers.get('steward-position')).toBe('00000000000000000007');
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect(response.headers.get('steward-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  it("gives the same command for the same Idempotency-Key and body, and never the client's text as a correlation", async () => {
    const send = async (): Promise<{ commandId: string; correlationId: string; requestHash: string }> => {
      const response = await post('{"name":"a"}', { ...json, 'idempotency-key': 'k1', 'x-correlation-id': 'mine' });
      return ((await response.json()) as { command: { commandId: string; correlationId: string; requestHash: string } })
        .command;
    };
    const [first, second] = [await send(), await send()];
    expect(first).toEqual(second);
    expect(first.commandId).toBe(commandIdOf(['req', 't1', 'u1', 'POST', '/v1/things', 'k1']));
    expect(first.correlationId).toBe(first.commandId);
    expect(first.requestHash).toMatch(/^[0-9a-f]{64}$/);
  });

  it('may have no body and no content type: that is an empty object', async () => {
    expect((await request('POST', '/v1/things/a/close', undefined, {})).status).toBe(200);
    expect((await request('POST', '/v1/things/a/close', '{}')).status).toBe(200);
    expect((await request('POST', '/v1/things/a/close', '', json)).status).toBe(200);
    await expectProblem(await request('POST', '/v1/things', undefined, {}), 'VALIDATION', 'body.name');
  });

  it('may have 256 KiB where the route says so, and 64 KiB elsewhere', async () => {
    const body = JSON.stringify({ name: 'a', metadata: { a: 'x'.repeat(200_000) } });
    expect((await request('POST', '/v1/things/bulk', body)).status).toBe(200);
    await expectProblem(await post(body), 'BODY_TOO_LARGE');
    const exact = JSON.stringify({ name: 'a', metadata: { a: '' } });
    const fill = (bytes: number): string =>
      JSON.stringify({ name: 'a', metadata: { a: 'x'.repeat(bytes - exact.length) } });
    expect((await post(fill(65_536))).status).toBe(201);
    await expectProblem(await post(fill(65_537)), 'BODY_TOO_LARGE');
  });

  it('reads limit, cursor and position from the query, and the position from the header too', async () => {
    const position = '00000000000000000005';
    const response = await request('GET', `/v1/things?limit=7&q=a%20b+c&minPosition=${position}`);
    expect(await response.json()).toMatchObject({ limit: 7, q: 'a b c', minPosition: position, ip: '127.0.0.1' });
    const byHeader = await fetch(`${things.url}/v1/things`, { headers: { 'steward-position': position } });
    expect(await byHeader.json()).toMatchObject({ limit: 50, minPosition: position });
  });
});

describe('a bad body', () => {
  it.each<[string, string | Buffer, ErrorCode, string | undefined]>([
    ['broken JSON', '{"name":', 'BODY_MALFORMED', 'body'],
    ['an empty text', ' ', 'BODY_MALFORMED', 'body'],
    ['invalid UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), 'BODY_MALFORMED', 'body'],
    ['a byte order mark', '\ufeff{"name":"a"}', 'BODY_MALFORMED', 'body'],
    ['duplicate names', '{"name":"a","name":"b"}', 'BODY_MALFORMED', 'body.name'],
    ['duplicate names deep inside', '{"name":"a","labels":{"a":"1","a":"2"}}', 'BODY_MALFORMED', 'body.labels.a'],
    ['too deep', `{"name":"a","metadata":${'{"a":'.repeat(16)}1${'}'.repeat(17)}`, 'BODY_MALFORMED', 'body.metadata'],
    ['NUL', '{"name":"a\\u0000"}', 'VALIDATION', 'body.name'],
    ['half a surrogate pair', '{"name":"\\ud800"}', 'VALIDATION', 'body.name'],
    ['__proto__', '{"name":"a","__proto__":{"admin":true}}', 'VALIDATION', 'body.__proto__'],
    ['constructor', '{"name":"a","labels":{"constructor":"x"}}', 'VALIDATION', 'body.labels.constructor'],
    ['an infinite number', '{"name":"a","size":1e309}', 'VALIDATION', 'body.size'],
    ['negative zero', '{"name":"a","size":-0}', 'VALIDATION', 'body.size'],
    ['a missing field', '{}', 'VALIDATION', 'body.name'],
    ['an unknown field', '{"name":"a","admin":true}', 'VALIDATION', 'body.admin'],
    ['a wrong type', '{"name":7}', 'VALIDATION', 'body.name'],
    ['a number as text', '{"name":"a","size":"1"}', 'VALIDATION', 'body.size'],
    ['too long a text', `{"name":"${'x'.repeat(101)}"}`, 'VALIDATION', 'body.name'],
    ['a list', '[{"name":"a"}]', 'VALIDATION', 'body'],
    ['a text', '"name"', 'VALIDATION', 'body'],
    ['null', 'null', 'VALIDATION', 'body'],
    ['a number', '1', 'VALIDATION', 'body'],
  ])('%s is a problem that names the field and not the value', async (_what, body, code, location) => {
    const before = things.probe.calls.length;
    await expectProblem(await post(body), code, location);
    expect(things.probe.calls).toHaveLength(before);
  });

  it('names every field at fault', async () => {
    const problem = await expectProblem(await post('{"size":10,"labels":{"a":1},"x":1}'), 'VALIDATION');
    expect(problem.errors?.map(({ location }) => location)).toEqual(['body.x']);
    const known = await expectProblem(await post('{"size":10,"labels":{"a":1}}'), 'VALIDATION');
    expect(known.errors?.map(({ location }) => location).sort()).toEqual(['body.labels.a', 'body.name', 'body.size']);
  });

  it('is refused on a route that takes none', async () => {
    await expectProblem(await request('POST', '/v1/things/a/close', '{"force":true}'), 'VALIDATION', 'body.force');
    await expectProblem(await request('DELETE', '/v1/things/a', '{"force":true}'), 'VALIDATION', 'body.force');
    await expectProblem(await request('POST', '/v1/things/a/close', '[]'), 'VALIDATION', 'body');
  });

  it.each([
    'text/plain',
    'application/xml',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'nonsense',
    'application/x-ndjson',
  ])('of the content type %s is MEDIA_TYPE', async (type) => {
    await expectProblem(await post('{"name":"a"}', { 'content-type': type }), 'MEDIA_TYPE');
  });

  it('without a content type is MEDIA_TYPE, and with parameters it is taken', async () => {
    await expectProblem(await post(Buffer.from('{"name":"a"}'), {}), 'MEDIA_TYPE');
    expect((await post('{"name":"a"}', { 'content-type': 'application/json; charset=utf-8' })).status).toBe(201);
  });

  it('of 8 MB gets to read that it is too large', async () => {
    for (let round = 0; round < 3; round += 1)
      await expectProblem(await post(Buffer.alloc(8_000_000, 0x20)), 'BODY_TOO_LARGE');
  });

  it('is refused on a raw route by the same rules', async () => {
    const raw = (body: string) => request('POST', '/v1/things/raw', body);
    expect(await (await raw('{"a":1}')).json()).toEqual({ raw: { a: 1 } });
    await expectProblem(await raw('{"a":1,"a":1}'), 'BODY_MALFORMED', 'body.a');
    await expectProblem(await request('POST', '/v1/things/raw', undefined, {}), 'VALIDATION');
    await expectProblem(await request('GET', '/v1/things/raw'), 'METHOD_NOT_ALLOWED');
  });
});

describe('a bad query, path or header', () => {
  it.each<[string, ErrorCode, string | undefined]>([
    ['/v1/things?limit=0', 'VALIDATION', 'query.limit'],
    ['/v1/things?limit=1&limit=2', 'VALIDATION', 'query.limit'],
    ['/v1/things?unknown=1', 'VALIDATION', 'query.unknown'],
    ['/v1/things?q=a%00', 'VALIDATION', 'query.q'],
    ['/v1/things?q=%ed%a0%80', 'VALIDATION', 'query.q'],
    ['/v1/things?q=%zz', 'VALIDATION', 'query.q'],
    ['/v1/things?__proto__=1', 'VALIDATION', 'query'],
    ['/v1/things?minPosition=7', 'POSITION_UNKNOWN', 'query.minPosition'],
    ['/v1/things?minPosition=', 'POSITION_UNKNOWN', 'query.minPosition'],
    ['/v1/things?minPosition=00000000000000000101', 'POSITION_UNKNOWN', undefined],
    ['/v1/things/a?x=1', 'VALIDATION', 'query.x'],
    ['/v1/things/a%00b', 'VALIDATION', 'path.thingId'],
    ['/v1/things/a%20b', 'VALIDATION', 'path.thingId'],
    ['/v1/things/%zz', 'HEADER_MALFORMED', undefined],
    [`/v1/things/${'x'.repeat(300)}`, 'NOT_FOUND', undefined],
    ['/v1/nothing', 'NOT_FOUND', undefined],
    ['/v1/things/', 'NOT_FOUND', undefined],
    ['/', 'NOT_FOUND', undefined],
  ])('%s is a problem', async (path, code, location) => {
    await expectProblem(await fetch(things.url + path), code, location);
  });

  it('is a malformed If-Match, Idempotency-Key or Steward-Position', async () => {
    const get = (headers: Record<string, string>) => fetch(`${things.url}/v1/things/a`, { headers });
    expect(await (await get({ 'if-match': '"17"' })).json()).toEqual({ id: 'a', ifMatch: 17 });
    expect(await (await get({ 'if-match': '*' })).json()).toEqual({ id: 'a', ifMatch: null });
    await expectProblem(await get({ 'if-match': '17' }), 'VALIDATION', 'header.If-Match');
    await expectProblem(await get({ 'idempotency-key': 'a b' }), 'VALIDATION', 'header.Idempotency-Key');
    await expectProblem(await get({ 'idempotency-key': 'x'.repeat(256) }), 'VALIDATION', 'header.Idempotency-Key');
    await expectProblem(await get({ 'steward-position': 'x' }), 'POSITION_UNKNOWN', 'header.Steward-Position');
  });

  it('is an unknown path before its body is of any interest', async () => {
    await expectProblem(await request('POST', '/v1/nothing', '{'), 'NOT_FOUND');
  });

  it('does not tell an address from X-Forwarded-For, which nobody vouches for', async () => {
    const response = await fetch(`${things.url}/v1/things`, { headers: { 'x-forwarded-for': '9.9.9.9' } });
    expect(await response.json()).toMatchObject({ ip: '127.0.0.1' });
  });
});

describe('a known path with another method', () => {
  it.each([
    ['PUT', '/v1/things', 'GET, HEAD, POST'],
    ['OPTIONS', '/v1/things', 'GET, HEAD, POST'],
    ['POST', '/v1/things/a', 'DELETE, GET, HEAD'],
    ['GET', '/v1/things/bulk', 'POST'],
    ['DELETE', '/v1/things/import', 'POST'],
    ['POST', '/healthz', 'GET, HEAD'],
    ['POST', '/openapi.json', 'GET, HEAD'],
    ['PROPFIND', '/v1/things/a', 'DELETE, GET, HEAD'],
  ])('%s %s is METHOD_NOT_ALLOWED', async (method, path, allow) => {
    const response = await request(method, path, undefined, {});
    await expectProblem(response, 'METHOD_NOT_ALLOWED');
    expect(response.headers.get('allow')).toBe(allow);
  });

  it('is refused before its body is read', async () => {
    await expectProblem(await request('PUT', '/v1/things', '{'), 'METHOD_NOT_ALLOWED');
  });

  it('is answered raw for TRACE and CONNECT', async () => {
    const trace = await sendRaw(things.port, 'TRACE /v1/things HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    expectRawProblem(trace, 'METHOD_NOT_ALLOWED');
    const tunnel = await sendRaw(things.port, 'CONNECT example.org:443 HTTP/1.1\r\nHost: a\r\n\r\n');
    expectRawProblem(tunnel, 'METHOD_NOT_ALLOWED');
  });
});

describe('what a handler throws', () => {
  it('is told with Retry-After where there is one', async () => {
    const busy = await request('DELETE', '/v1/things/busy');
    expect(busy.headers.get('retry-after')).toBe('7');
    await expectProblem(busy, 'OVERLOADED');
    const storeless = await request('DELETE', '/v1/things/storeless');
    expect(storeless.headers.get('retry-after')).toBe('1');
    await expectProblem(storeless, 'STORE_UNAVAILABLE');
  });

  it('is INTERNAL if nobody expected it: the log has the error under the request id, without its secret', async () => {
    const problem = await expectProblem(await request('DELETE', '/v1/things/broken'), 'INTERNAL');
    expect(JSON.stringify(problem)).not.toMatch(/postgres|hunter2|stack/);
    const line = things.logLines.find((one) => one.includes(problem.requestId) && one.includes('"error"'));
    expect(line).toContain('thing-app');
    expect(things.logLines.join('')).not.toContain('hunter2');
  });
});

describe('from below routing', () => {
  it.each<[string, string | Buffer, ErrorCode]>([
    ['a request line that is none', 'NONSENSE\r\n\r\n', 'HEADER_MALFORMED'],
    ['TLS on a plain port', Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]), 'HEADER_MALFORMED'],
    ['a header without a colon', 'GET / HTTP/1.1\r\nHost: a\r\nbroken\r\n\r\n', 'HEADER_MALFORMED'],
    ['a header with NUL', 'GET / HTTP/1.1\r\nHost: a\r\nx: a\0b\r\n\r\n', 'HEADER_MALFORMED'],
    [
      'two lengths',
      'POST /v1/things HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}',
      'HEADER_MALFORMED',
    ],
    [
      'two different Content-Lengths',
      'POST /v1/things HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}',
      'HEADER_MALFORMED',
    ],
    ['too large a header', `GET / HTTP/1.1\r\nHost: a\r\nx: ${'a'.repeat(9000)}\r\n\r\n`, 'HEADERS_TOO_LARGE'],
    ['too long a path', `GET /${'a'.repeat(9000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 'HEADERS_TOO_LARGE'],
    ['no Host', 'GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n', 'HEADER_MALFORMED'],
    ['an expectation', 'GET /healthz HTTP/1.1\r\nHost: a\r\nExpect: coffee\r\n\r\n', 'HEADER_MALFORMED'],
    [
      'a broken chunk',
      'POST /v1/things HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n',
      'HEADER_MALFORMED',
    ],
  ])('%s is a problem document', async (_what, bytes, code) => {
    expectRawProblem(await sendRaw(things.port, bytes), code);
  });

  it('a header that does not arrive in time is REQUEST_TIMEOUT', async () => {
    const socket = await connected(impatient.port);
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n');
    expectRawProblem(parseAnswer(await untilClosed(socket)), 'REQUEST_TIMEOUT');
  });

  it('a body that does not arrive in time is REQUEST_TIMEOUT', async () => {
    const socket = await connected(impatient.port);
    socket.write(
      'POST /v1/things HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{"na',
    );
    expectRawProblem(parseAnswer(await untilClosed(socket)), 'REQUEST_TIMEOUT');
  });

  it('a body that ends early harms nobody', async () => {
    const socket = await connected(things.port);
    socket.end(
      'POST /v1/things HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{"na',
    );
    await untilClosed(socket);
    expect((await fetch(`${things.url}/healthz`)).status).toBe(200);
    expect(things.logLines.filter((line) => line.includes('unexpectedly') && line.includes('aborted'))).toEqual([]);
  });
});

describe('a streamed body', () => {
  const ndjson = { 'content-type': 'application/x-ndjson' };

  it('is read line by line, beyond the body limit, and a bad line is told by its number', async () => {
    const lines = Array.from({ length: 20_000 }, (_, n) => JSON.stringify({ n }));
    lines[4] = '{"a":1,"a":1}';
    lines[6] = '';
    const response = await request('POST', '/v1/things/import', lines.join('\n'), ndjson);
    expect(await response.json()).toMatchObject({ lines: 19_998, failed: [5] });
  });

  it('may take longer than a request may', async () => {
    const socket = await connected(impatient.port);
    socket.write(
      'POST /v1/things/import HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n',
    );
    const answer = untilClosed(socket);
    const began = performance.now();
    const timer = setInterval(() => {
      if (performance.now() - began < 1_500) socket.write('8\r\n{"n":1}\n\r\n');
      else {
        clearInterval(timer);
        socket.write('0\r\n\r\n');
      }
    }, 100);
    const { status, body } = parseAnswer(await answer);
    expect(status).toBe(200);
    expect(body).toContain('"failed":[]');
  });

  it('takes no Idempotency-Key and no other content type, and no line without an end', async () => {
    const send = (body: string, headers: Record<string, string>) => request('POST', '/v1/things/import', body, headers);
    await expectProblem(await send('{}', { ...ndjson, 'idempotency-key': 'a' }), 'IDEMPOTENCY_KEY_REFUSED');
    await expectProblem(await send('{}', json), 'MEDIA_TYPE');
    await expectProblem(await request('POST', '/v1/things/import', undefined, {}), 'MEDIA_TYPE');
    await expectProblem(await send('x'.repeat(70_000), ndjson), 'BODY_TOO_LARGE');
  });
});

describe('what is told to operators', () => {
  it('logs one line a request with the pattern of the route and no value of a query', async () => {
    await fetch(`${things.url}/v1/things?q=hunter3`);
    const line = things.logLines.filter((one) => one.includes('"request"')).at(-1) ?? '';
    expect(JSON.parse(line)).toMatchObject({ method: 'GET', route: '/v1/things', status: 200, principalId: 'u1' });
    expect(things.logLines.join('')).not.toContain('hunter3');
  });

  it('has metrics by the pattern of the route', async () => {
    await fetch(`${things.url}/v1/things/abc`);
    const text = await (await fetch(`${things.url}/metrics`)).text();
    expect(text).toContain(
      'steward_http_request_duration_seconds_count{method="GET",route="/v1/things/:thingId",status="200"}',
    );
    expect(text).toContain('process_cpu_seconds_total');
    expect(text).not.toContain('/v1/things/abc');
  });

  it('is alive, and ready by its checks', async () => {
    expect(await (await fetch(`${things.url}/healthz`)).json()).toEqual({ alive: true });
    expect(await (await fetch(`${things.url}/readyz`)).json()).toEqual({ ready: true, checks: {} });
  });
});

describe('the documents', () => {
  it('describe every route in OpenAPI 3.1, with its security and its problems', async () => {
    const document = (await (await fetch(`${things.url}/openapi.json`)).json()) as {
      openapi: string;
      security: object[];
      paths: Record<
        string,
        Record<string, { security?: object[]; parameters: object[]; responses: Record<string, object> }>
      >;
      components: { securitySchemes: object; schemas: Record<string, { properties: object; required: string[] }> };
    };
    expect(document.openapi).toBe('3.1.0');
    expect(document.security).toEqual([{ bearer: [] }, { apiKey: [] }]);
    expect(Object.keys(document.components.securitySchemes)).toEqual(['bearer', 'apiKey']);
    for (const path of ['/healthz', '/readyz', '/metrics', '/v1/open'])
      expect(document.paths[path]?.['get']?.security).toEqual([]);
    const create = document.paths['/v1/things']?.['post'];
    expect(create?.security).toBeUndefined();
    expect(create?.parameters).toContainEqual({ $ref: '#/components/parameters/IdempotencyKey' });
    expect(create?.responses['default']).toHaveProperty(['content', 'application/problem+json']);
    expect(document.paths['/v1/things/import']?.['post']?.parameters).not.toContainEqual({
      $ref: '#/components/parameters/IdempotencyKey',
    });
    expect(document.components.schemas['ThingBody']).toMatchObject({
      required: ['name'],
      properties: { name: { type: 'string', minLength: 1, maxLength: 100 }, size: { type: 'integer', maximum: 9 } },
    });
  });

  it('are read at /docs without anything from elsewhere', async () => {
    const page = await fetch(`${things.url}/docs`);
    const html = await page.text();
    expect(page.status).toBe(200);
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(html).not.toMatch(/(src|href)=["']?https?:/);
    const parts = [...html.matchAll(/(?:src|href)="(\/docs\/[^"]+)"/g)].map(([, part]) => part as string);
    expect(parts.length).toBeGreaterThan(2);
    for (const part of parts)
      expect([part, (await fetch(new URL(part, `${things.url}/docs`))).status]).toEqual([part, 200]);
    expect(await (await fetch(`${things.url}/docs/errors`)).text()).toContain('id="VALIDATION"');
  });
});
