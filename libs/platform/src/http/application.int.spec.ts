import { commandIdOf } from '#libs/eventsourcing';
import { closeGracefully } from './shutdown.js';
import { expectProblem } from './testing/expect-problem.js';
import { json, startThings, type ThingApp } from './testing/thing-app.js';

let things: ThingApp;

beforeAll(async () => {
  things = await startThings();
});

afterAll(() => closeGracefully(things.app, { drainMs: 2_000 }));

describe('a well-formed request', () => {
  it('is answered with its id, its ETag, its position and no permission to keep it', async () => {
    const response = await things.post('{"name":"a"}');
    expect(response.status).toBe(201);
    expect(response.headers.get('etag')).toBe('"3"');
    expect(response.headers.get('steward-position')).toBe('00000000000000000007');
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect(response.headers.get('steward-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  it("gives the same command for the same Idempotency-Key and body, and never the client's text as a correlation", async () => {
    const send = async (): Promise<{ commandId: string; correlationId: string; requestHash: string }> => {
      const response = await things.post('{"name":"a"}', {
        ...json,
        'idempotency-key': 'k1',
        'x-correlation-id': 'mine',
      });
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
    expect((await things.request('POST', '/v1/things/a/close', undefined, {})).status).toBe(200);
    expect((await things.request('POST', '/v1/things/a/close', '{}')).status).toBe(200);
    expect((await things.request('POST', '/v1/things/a/close', '', json)).status).toBe(200);
    await expectProblem(await things.request('POST', '/v1/things', undefined, {}), 'VALIDATION', 'body.name');
  });

  it('may have 256 KiB where the route says so, and 64 KiB elsewhere', async () => {
    const body = JSON.stringify({ name: 'a', metadata: { a: 'x'.repeat(200_000) } });
    expect((await things.request('POST', '/v1/things/bulk', body)).status).toBe(200);
    await expectProblem(await things.post(body), 'BODY_TOO_LARGE');
    const exact = JSON.stringify({ name: 'a', metadata: { a: '' } });
    const fill = (bytes: number): string =>
      JSON.stringify({ name: 'a', metadata: { a: 'x'.repeat(bytes - exact.length) } });
    expect((await things.post(fill(65_536))).status).toBe(201);
    await expectProblem(await things.post(fill(65_537)), 'BODY_TOO_LARGE');
  });

  it('reads limit, cursor and position from the query, and the position from the header too', async () => {
    const position = '00000000000000000005';
    const response = await things.request('GET', `/v1/things?limit=7&q=a%20b+c&minPosition=${position}`);
    expect(await response.json()).toMatchObject({ limit: 7, q: 'a b c', minPosition: position, ip: '127.0.0.1' });
    const byHeader = await fetch(`${things.url}/v1/things`, { headers: { 'steward-position': position } });
    expect(await byHeader.json()).toMatchObject({ limit: 50, minPosition: position });
  });
});

describe('what a handler throws', () => {
  it('is told with Retry-After where there is one', async () => {
    const busy = await things.request('DELETE', '/v1/things/busy');
    expect(busy.headers.get('retry-after')).toBe('7');
    await expectProblem(busy, 'OVERLOADED');
    const storeless = await things.request('DELETE', '/v1/things/storeless');
    expect(storeless.headers.get('retry-after')).toBe('1');
    await expectProblem(storeless, 'STORE_UNAVAILABLE');
  });

  it('is INTERNAL if nobody expected it: the log has the error under the request id, without its secret', async () => {
    const problem = await expectProblem(await things.request('DELETE', '/v1/things/broken'), 'INTERNAL');
    expect(JSON.stringify(problem)).not.toMatch(/postgres|hunter2|stack/);
    const line = things.logLines.find((one) => one.includes(problem.requestId) && one.includes('"error"'));
    expect(line).toContain('thing-app');
    expect(things.logLines.join('')).not.toContain('hunter2');
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
