import { readdirSync, readFileSync } from 'node:fs';
import { errorCodes } from '#libs/contracts';
import { frontConfig, samplePath, serviceOfCall, serviceOfPath } from './front-config.js';
import { serviceByRoute } from './service-routes.js';

const root = new URL('../../', import.meta.url);
const { paths } = JSON.parse(readFileSync(new URL('docs/api/openapi.json', root), 'utf8')) as {
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
};
const documented = Object.entries(paths).flatMap(([path, item]) =>
  Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
);
const pathOf = (route: string): string => samplePath(route.split(' ')[1] ?? '');

/** What every program has; the first is answered by the front itself, whoami by whoever knows keys best. */
const OF_EVERY_PROGRAM = ['GET /healthz', 'GET /readyz', 'GET /metrics', 'GET /v1/whoami'];

describe("The front's routes", () => {
  it('every documented route is one of a service, or of every program', () => {
    const known = [...serviceByRoute.keys(), ...OF_EVERY_PROGRAM];
    expect(known.sort()).toEqual(documented.sort());
  });

  it.each([...serviceByRoute])('%s goes to %s', (route, service) => {
    expect(serviceOfPath(pathOf(route))).toBe(service);
  });

  it('of what every program has, only whoami goes to one of them', () => {
    expect(OF_EVERY_PROGRAM.map((route) => serviceOfPath(pathOf(route)))).toEqual(['', '', '', 'keys']);
    expect(frontConfig).toContain('location = /healthz {');
  });

  it.each(['/', '/v1', '/v2/keys', '/v1/keysx', '/v1/unknown', '/internal', '/openapi.json/x'])(
    '%s goes to nobody',
    (path) => {
      expect(serviceOfPath(path)).toBe('');
    },
  );

  it('the pages that explain the errors and draw the routes are served', () => {
    expect(['/docs', '/docs/errors', '/docs/swagger-ui.css'].map(serviceOfPath)).toEqual(['keys', 'keys', 'keys']);
  });
});

describe("The front's calls", () => {
  const protos = new URL('libs/contracts/proto/steward/', root);
  const callsOf = (folder: string): string[] =>
    readdirSync(new URL(folder, protos))
      .filter((name) => name.endsWith('.proto'))
      .flatMap((name) => {
        const text = readFileSync(new URL(`${folder}${name}`, protos), 'utf8');
        const packageName = /^package ([\w.]+);/m.exec(text)?.[1] ?? '';
        return [...text.matchAll(/^service (\w+) \{([^}]*)\}/gm)].flatMap(([, service = '', body = '']) =>
          [...body.matchAll(/rpc (\w+)\(/g)].map(([, method = '']) => `/${packageName}.${service}/${method}`),
        );
      });
  const services: Record<string, string> = {
    KeyService: 'keys',
    VerifierService: 'keys',
    QuotaService: 'quotas',
    TenancyService: 'tenancy',
    AuditService: 'audit',
  };

  it('each public call goes to the service that has it', () => {
    const calls = callsOf('v1/');
    expect(calls.length).toBeGreaterThan(60);
    for (const call of calls)
      expect([call, serviceOfCall(call)]).toEqual([call, services[/\.(\w+)\//.exec(call)?.[1] ?? '']]);
  });

  it('no internal call passes it, by either door', () => {
    const calls = callsOf('internal/v1/');
    expect(calls.length).toBeGreaterThan(0);
    for (const call of calls) expect([serviceOfCall(call), serviceOfPath(call)]).toEqual(['', '']);
  });
});

describe('What the front says by itself', () => {
  const problems = [...frontConfig.matchAll(/"title":"([^"]+)","status":(\d+),"detail":"[^"]+","code":"(\w+)"/g)];

  it('is in the words of the catalogue of errors', () => {
    expect(problems.length).toBe(7);
    for (const [, title, status, code = ''] of problems)
      expect({ code, title, status: Number(status) }).toEqual({
        code,
        title: errorCodes[code as keyof typeof errorCodes].title,
        status: errorCodes[code as keyof typeof errorCodes].status,
      });
  });

  it('is sent with the status that it names', () => {
    const returned = [...frontConfig.matchAll(/return (\d{3}) '\{"type":"\/docs\/errors#(\w+)"/g)];
    expect(returned.length).toBe(5);
    for (const [, status, code = ''] of returned)
      expect(errorCodes[code as keyof typeof errorCodes].status).toBe(Number(status));
  });
});
