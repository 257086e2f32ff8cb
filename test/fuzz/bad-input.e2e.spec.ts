import { connect } from 'node:net';
import { aKey, aProject, StewardProcess } from '#libs/testing';

interface Operation {
  readonly method: string;
  readonly path: string;
  readonly template: string;
  /** The names of the body's fields; empty where the route takes no JSON body. */
  readonly fields: readonly string[];
}

interface Schema {
  readonly $ref?: string;
  readonly properties?: Record<string, unknown>;
}

interface OpenApi {
  readonly paths: Record<
    string,
    Record<string, { requestBody?: { content: Record<string, { schema?: Schema }> } } | undefined>
  >;
  readonly components: { readonly schemas: Record<string, Schema> };
}

const METHODS = ['get', 'post', 'put', 'patch', 'delete'];

/** What no field of ours takes, whatever its type. */
const neverValid: readonly [name: string, json: string][] = [
  ['a number where text belongs, or text where a number belongs', '[[["deep"]]]'],
  ['NUL', '"a\\u0000b"'],
  ['a lone surrogate', '"\\ud800"'],
  ['a number beyond every range', '1e309'],
  ['too long', JSON.stringify('x'.repeat(70_000))],
  ['too deep', '['.repeat(20) + ']'.repeat(20)],
];

/** What no body of ours is. */
const brokenBodies: readonly [name: string, body: string, contentType: string][] = [
  ['not JSON', '{"id":', 'application/json'],
  ['an array', '[]', 'application/json'],
  ['a string', '"x"', 'application/json'],
  ['null', 'null', 'application/json'],
  ['duplicate keys', '{"id":"a","id":"b"}', 'application/json'],
  ['__proto__', '{"__proto__":{"admin":true}}', 'application/json'],
  ['an unknown field', '{"surelyUnknown":1}', 'application/json'],
  ['another content type', '<id>a</id>', 'application/xml'],
  ['a form', 'id=a', 'application/x-www-form-urlencoded'],
];

describe('bad input', () => {
  let steward: StewardProcess;
  let operations: Operation[];

  beforeAll(async () => {
    steward = await StewardProcess.start();
    await aProject(steward);
    const { key } = await aKey(steward);
    await steward.call('PUT', '/v1/principals/batch-runner', { body: { type: 'service', role: 'service' } });
    const fills: Record<string, string> = {
      tenantId: 'acme',
      projectId: 'GOV112345',
      userId: 'bob',
      keyId: key.id,
      principalId: 'batch-runner',
    };
    const { body } = await steward.call<OpenApi>('GET', '/openapi.json');
    operations = Object.entries(body.paths).flatMap(([template, byMethod]) =>
      METHODS.filter((method) => byMethod[method] !== undefined).map((method) => {
        const schema = byMethod[method]?.requestBody?.content['application/json']?.schema;
        const named =
          schema?.$ref === undefined ? schema : body.components.schemas[schema.$ref.split('/').at(-1) ?? ''];
        return {
          method: method.toUpperCase(),
          template,
          path: template.replaceAll(/\{([^}]+)\}/g, (_, name: string) => fills[name] ?? 'unknown'),
          fields: Object.keys(named?.properties ?? {}),
        };
      }),
    );
  });
  afterAll(async () => {
    await steward.stop();
  });

  const send = async (
    operation: Operation,
    body: string,
    contentType: string,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; type: string | null; problem: Record<string, unknown> }> => {
    const response = await fetch(steward.url + operation.path, {
      method: operation.method,
      headers: { authorization: `Bearer ${steward.adminToken}`, 'content-type': contentType, ...headers },
      body,
    });
    const text = await response.text();
    const type = response.headers.get('content-type');
    const json = type?.includes('json') === true;
    return { status: response.status, type, problem: json ? (JSON.parse(text) as Record<string, unknown>) : {} };
  };

  it('knows the routes of every area', () => {
    expect(operations.length).toBeGreaterThan(35);
    expect(operations.filter(({ fields }) => fields.length > 0).length).toBeGreaterThan(10);
  });

  it('answers every broken body with a problem of the 4xx class on every route that takes one', async () => {
    const wrong: unknown[] = [];
    for (const operation of operations.filter(({ fields }) => fields.length > 0))
      for (const [name, body, contentType] of brokenBodies) {
        const { status, type, problem } = await send(operation, body, contentType);
        const good = status >= 400 && status < 500 && type?.startsWith('application/problem+json') === true;
        if (!good || typeof problem['code'] !== 'string')
          wrong.push([operation.method, operation.template, name, status, problem]);
      }
    expect(wrong).toEqual([]);
  });

  it('names the field for every value that no field takes', async () => {
    const wrong: unknown[] = [];
    for (const operation of operations)
      for (const field of operation.fields)
        for (const [name, json] of neverValid) {
          const { status, problem } = await send(operation, `{${JSON.stringify(field)}:${json}}`, 'application/json');
          const tooLarge = json.length > 65_000;
          const named = JSON.stringify(problem).includes(field);
          if (status < 400 || status >= 500 || !(named || (tooLarge && status === 413)))
            // A free JSON field takes any text and any list; only the structural faults are refused there.
            if (!(field === 'metadata' && status < 500))
              wrong.push([operation.method, operation.template, field, name, status, problem]);
        }
    expect(wrong).toEqual([]);
  }, 120_000);

  it('refuses bad path and query values without a 5xx', async () => {
    const wrong: unknown[] = [];
    for (const { method, template } of operations)
      for (const bad of ['%00', '%ed%a0%80', '%ff', 'a%2Fb', '..%2f..', 'x'.repeat(300), '%E2%80%AE', "a'--", '💥']) {
        const path = template.includes('{')
          ? template.replaceAll(/\{[^}]+\}/g, bad)
          : `${template}?limit=${bad}&cursor=${bad}&minPosition=${bad}`;
        const answer = await fetch(steward.url + path, {
          method,
          headers: { authorization: `Bearer ${steward.adminToken}` },
        });
        await answer.arrayBuffer();
        if (answer.status >= 500) wrong.push([method, path, answer.status]);
      }
    expect(wrong).toEqual([]);
  }, 120_000);

  it('answers another method on a known path with 405 and Allow, and an unknown path with 404', async () => {
    const known = await steward.call('DELETE', '/v1/tenants');
    expect([known.status, known.body['code']]).toEqual([405, 'METHOD_NOT_ALLOWED']);
    expect(known.headers.get('allow')).toMatch(/POST/);
    const unknown = await steward.call('GET', '/v1/no-such-thing');
    expect([unknown.status, unknown.body['code']]).toEqual([404, 'NOT_FOUND']);
  });

  it('answers what breaks below routing with a problem too', async () => {
    const raw = (text: string): Promise<string> =>
      new Promise((resolve, reject) => {
        const { hostname, port } = new URL(steward.url);
        const socket = connect(Number(port), hostname);
        let answer = '';
        socket.setEncoding('utf8').setTimeout(10_000, () => socket.destroy(new Error('no answer')));
        socket.on('data', (chunk: string) => (answer += chunk));
        socket.on('error', reject);
        socket.on('close', () => {
          resolve(answer);
        });
        socket.end(text);
      });
    const broken = await raw('GET /v1/tenants HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n\r\n');
    expect(broken).toMatch(/^HTTP\/1\.1 400 /);
    expect(broken).toContain('HEADER_MALFORMED');
    const large = await raw(`GET /v1/tenants HTTP/1.1\r\nHost: x\r\nX-Large: ${'x'.repeat(10_000)}\r\n\r\n`);
    expect(large).toMatch(/^HTTP\/1\.1 431 /);
    expect(large).toContain('application/problem+json');
  });

  it('left the ledger alone: nothing was half done', async () => {
    const { body } = await steward.call<{ data: { id: string }[] }>('GET', '/v1/tenants');
    expect(body.data.map(({ id }) => id)).toEqual(['acme']);
  });
});
