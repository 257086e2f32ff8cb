import type { ErrorCode } from '#libs/contracts';
import { closeGracefully } from './shutdown.js';
import { expectProblem, expectRawProblem } from './testing/expect-problem.js';
import { sendRaw } from './testing/raw-socket.js';
import { startThings, type ThingApp } from './testing/thing-app.js';

let things: ThingApp;

beforeAll(async () => {
  things = await startThings();
});

afterAll(() => closeGracefully(things.app, { drainMs: 2_000 }));

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
    await expectProblem(await things.post(body), code, location);
    expect(things.probe.calls).toHaveLength(before);
  });

  it('names every field at fault', async () => {
    const problem = await expectProblem(await things.post('{"size":10,"labels":{"a":1},"x":1}'), 'VALIDATION');
    expect(problem.errors?.map(({ location }) => location)).toEqual(['body.x']);
    const known = await expectProblem(await things.post('{"size":10,"labels":{"a":1}}'), 'VALIDATION');
    expect(known.errors?.map(({ location }) => location).sort()).toEqual(['body.labels.a', 'body.name', 'body.size']);
  });

  it('is refused on a route that takes none', async () => {
    await expectProblem(
      await things.request('POST', '/v1/things/a/close', '{"force":true}'),
      'VALIDATION',
      'body.force',
    );
    await expectProblem(await things.request('DELETE', '/v1/things/a', '{"force":true}'), 'VALIDATION', 'body.force');
    await expectProblem(await things.request('POST', '/v1/things/a/close', '[]'), 'VALIDATION', 'body');
  });

  it.each([
    'text/plain',
    'application/xml',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'nonsense',
    'application/x-ndjson',
  ])('of the content type %s is MEDIA_TYPE', async (type) => {
    await expectProblem(await things.post('{"name":"a"}', { 'content-type': type }), 'MEDIA_TYPE');
  });

  it('without a content type is MEDIA_TYPE, and with parameters it is taken', async () => {
    await expectProblem(await things.post(Buffer.from('{"name":"a"}'), {}), 'MEDIA_TYPE');
    expect((await things.post('{"name":"a"}', { 'content-type': 'application/json; charset=utf-8' })).status).toBe(201);
  });

  it('of 8 MB gets to read that it is too large', async () => {
    for (let round = 0; round < 3; round += 1)
      await expectProblem(await things.post(Buffer.alloc(8_000_000, 0x20)), 'BODY_TOO_LARGE');
  });

  it('is refused on a raw route by the same rules', async () => {
    const raw = (body: string) => things.request('POST', '/v1/things/raw', body);
    expect(await (await raw('{"a":1}')).json()).toEqual({ raw: { a: 1 } });
    await expectProblem(await raw('{"a":1,"a":1}'), 'BODY_MALFORMED', 'body.a');
    await expectProblem(await things.request('POST', '/v1/things/raw', undefined, {}), 'VALIDATION');
    await expectProblem(await things.request('GET', '/v1/things/raw'), 'METHOD_NOT_ALLOWED');
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
    await expectProblem(await things.request('POST', '/v1/nothing', '{'), 'NOT_FOUND');
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
    const response = await things.request(method, path, undefined, {});
    await expectProblem(response, 'METHOD_NOT_ALLOWED');
    expect(response.headers.get('allow')).toBe(allow);
  });

  it('is refused before its body is read', async () => {
    await expectProblem(await things.request('PUT', '/v1/things', '{'), 'METHOD_NOT_ALLOWED');
  });

  it('is answered raw for TRACE and CONNECT', async () => {
    const trace = await sendRaw(things.port, 'TRACE /v1/things HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    expectRawProblem(trace, 'METHOD_NOT_ALLOWED');
    const tunnel = await sendRaw(things.port, 'CONNECT example.org:443 HTTP/1.1\r\nHost: a\r\n\r\n');
    expectRawProblem(tunnel, 'METHOD_NOT_ALLOWED');
  });
});
