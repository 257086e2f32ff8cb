import { readFileSync } from 'node:fs';
import { RouteTable } from './route-table.js';

describe('the route table', () => {
  const table = new RouteTable();
  table.add('tenancy', ['/v1/projects', '/v1/projects/{projectId}', '/v1/projects/{projectId}/members/{userId}']);
  table.add('keys', [
    '/v1/projects/{projectId}/keys',
    '/v1/keys/{keyId}',
    '/v1/keys/verify',
    '/v1/keys/{keyId}/extend',
  ]);
  table.add('quotas', ['/v1/projects/{projectId}/members/{userId}/quotas/{service}/{resource}', '/v1/projects']);

  it.each([
    ['/v1/projects', 'tenancy'],
    ['/v1/projects/GOV1', 'tenancy'],
    ['/v1/projects/GOV1/keys', 'keys'],
    ['/v1/projects/keys', 'tenancy'],
    ['/v1/projects/GOV1/members/alice', 'tenancy'],
    ['/v1/projects/GOV1/members/alice/quotas/compute/gpu', 'quotas'],
    ['/v1/keys/verify', 'keys'],
    ['/v1/keys/verify/extend', 'keys'],
    ['/v1/ke%79s/verify', 'keys'],
    ['/v1/projects/a%2Fb', 'tenancy'],
    ['/v1/keys/%ZZ', 'keys'],
  ])('%s belongs to %s', (path, service) => {
    expect(table.serviceOf(path)).toBe(service);
  });

  it.each(['/', '', '/v1', '/v1/project', '/V1/projects', '/v1/keys/a/b', '/v1/projects/GOV1/keys/', 'v1/keys/verify'])(
    '%j belongs to nobody',
    (path) => {
      expect(table.serviceOf(path)).toBeUndefined();
    },
  );

  it('finds every path of the published description, filled in, whatever stands beside it', () => {
    const description = readFileSync(new URL('../../../../docs/api/openapi.json', import.meta.url), 'utf8');
    const paths = Object.keys((JSON.parse(description) as { paths: object }).paths);
    const whole = new RouteTable();
    for (const path of paths) whole.add(path, [path]);
    expect(paths.filter((path) => whole.serviceOf(path.replaceAll(/\{[^}]+\}/g, 'x-1')) !== path)).toEqual([]);
  });
});
