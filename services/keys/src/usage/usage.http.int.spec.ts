import { setTimeout as sleep } from 'node:timers/promises';
import { InProcessSteward } from '../../../../libs/testing/src/in-process-steward.js';
import type { AllKeyUsageView, KeyUsageView, ProjectKeyUsageView } from './usage.dto.js';

const WAIT_MS_MAX = 20_000;

interface Made {
  readonly secret: string;
  readonly key: { readonly id: string };
}

describe('the usage of keys over HTTP', () => {
  let steward: InProcessSteward;
  const keys: Made[] = [];

  const read = async <View>(path: string, who = 'root'): Promise<View> =>
    (await steward.made(who, 'GET', path)).body as View;
  const counted = ({ buckets }: Pick<KeyUsageView, 'buckets'>): Record<string, number> => {
    const sums: Record<string, number> = {};
    for (const { code, verifications } of buckets.flatMap(({ codes }) => codes))
      sums[code] = (sums[code] ?? 0) + verifications;
    return sums;
  };

  beforeAll(async () => {
    steward = await InProcessSteward.start();
    const { made, tokens } = steward;
    await made('root', 'POST', '/v1/tenants', { id: 'acme', name: 'Acme' });
    await made('root', 'POST', '/v1/tenants/acme/projects', { id: 'GOV1', name: 'Weather' });
    await made('root', 'PUT', '/v1/projects/GOV1/members/alice', { role: 'tenant_admin' });
    await made('root', 'PUT', '/v1/principals/gateway', { type: 'service', role: 'service' });
    tokens['gateway'] = ((await made('root', 'POST', '/v1/principals/gateway/keys')).body as Made).secret;
    const owner = { type: 'user', id: 'alice' };
    for (let n = 0; n < 3; n += 1)
      keys.push((await made('root', 'POST', '/v1/projects/GOV1/keys', { owner })).body as Made);
    const [first, second, third] = keys as [Made, Made, Made];
    await made('root', 'POST', `/v1/keys/${second.key.id}/disable`);
    const requests = [
      ...Array.from({ length: 5 }, () => ({ token: first.secret })),
      ...Array.from({ length: 3 }, () => ({ token: second.secret })),
      ...Array.from({ length: 2 }, () => ({ token: 'stw_live_nonsense' })),
    ];
    await made('gateway', 'POST', '/v1/keys/verify-batch', { requests });
    await made('root', 'POST', '/v1/keys/verify', { token: first.secret });
    await made('root', 'POST', '/v1/keys/verify', { token: third.secret });
    const deadline = performance.now() + WAIT_MS_MAX;
    const isThere = async (): Promise<boolean> => {
      const { buckets } = await read<AllKeyUsageView>('/v1/key-usage');
      return buckets.reduce((sum, { verifications }) => sum + verifications, 0) >= 12;
    };
    while (!(await isThere())) {
      if (performance.now() > deadline) throw new Error('The counts were not written.');
      await sleep(100);
    }
  });
  afterAll(() => steward.stop());

  it('of a key: by code, by who asked, and when it was last used', async () => {
    const [first, second] = keys as [Made, Made];
    const usage = await read<KeyUsageView>(`/v1/keys/${first.key.id}/usage`);
    expect(counted(usage)).toEqual({ VALID: 6 });
    expect(usage).toMatchObject({
      keyId: first.key.id,
      step: 'hour',
      lastUsedAt: expect.stringMatching(/Z$/) as string,
      services: [
        { service: 'gateway', verifications: 5 },
        { service: 'bootstrap-admin', verifications: 1 },
      ],
    });
    expect(await read(`/v1/keys/${second.key.id}/usage?step=day`)).toMatchObject({
      lastUsedAt: null,
      buckets: [
        { start: expect.stringMatching(/T00:00:00.000Z$/) as string, codes: [{ code: 'DISABLED', verifications: 3 }] },
      ],
    });
  });

  it.each(['minute', 'hour', 'day'])('of a project by the %s, with its most verified keys', async (step) => {
    const [first, second, third] = keys as [Made, Made, Made];
    const usage = await read<ProjectKeyUsageView>(`/v1/projects/GOV1/key-usage?step=${step}&top=2`);
    expect(counted(usage)).toEqual({ DISABLED: 3, VALID: 7 });
    expect(usage.topKeys).toEqual([
      { keyId: first.key.id, verifications: 6 },
      { keyId: second.key.id, verifications: 3 },
    ]);
    const other = await read<ProjectKeyUsageView>(`/v1/projects/GOV1/key-usage?step=${step}`);
    expect(other.topKeys.at(-1)).toEqual({ keyId: third.key.id, verifications: 1 });
  });

  it('of the platform with what was about no key, and of a tenant without', async () => {
    expect(counted(await read<AllKeyUsageView>('/v1/key-usage'))).toEqual({ DISABLED: 3, MALFORMED: 2, VALID: 7 });
    const ofTenant = await read<AllKeyUsageView>('/v1/key-usage?tenantId=acme&step=minute');
    expect([ofTenant.tenantId, counted(ofTenant)]).toEqual(['acme', { DISABLED: 3, VALID: 7 }]);
    expect((await steward.call('root', 'GET', '/v1/key-usage?tenantId=nobody')).status).toBe(404);
  });

  it.each(['minute', 'hour', 'day'])('up to the last %s that a time can name', async (step) => {
    const range = 'from=9999-12-31T00:00:00Z&to=9999-12-31T23:59:59.999Z';
    const usage = await read<ProjectKeyUsageView>(`/v1/projects/GOV1/key-usage?step=${step}&${range}`);
    expect(usage).toMatchObject({ buckets: [], topKeys: [], to: expect.stringMatching(/^9999-12-31T/) as string });
  });

  it('as CSV', async () => {
    const answer = await steward.made('root', 'GET', '/v1/projects/GOV1/key-usage?step=day&format=csv');
    expect(answer.headers.get('content-disposition')).toContain('key-usage-GOV1.csv');
    const [head, ...lines] = String(answer.body).trimEnd().split('\r\n');
    expect(head).toBe('start,code,verifications');
    expect(lines.map((line) => line.split(',').slice(1).join())).toEqual(['DISABLED,3', 'VALID,7']);
  });

  it.each([
    ['/v1/projects/GOV1/key-usage?step=week', 'step'],
    ['/v1/projects/GOV1/key-usage?from=yesterday', 'from'],
    ['/v1/projects/GOV1/key-usage?top=101', 'top'],
    ['/v1/projects/GOV1/key-usage?step=minute&from=2026-01-01T00:00:00Z&to=2026-01-03T00:00:00Z', 'buckets'],
    ['/v1/key-usage?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z', 'must be before'],
    ['/v1/key-usage?tenantId=%20', 'tenantId'],
  ])('%s is refused by name', async (path, named) => {
    const answer = await steward.call('root', 'GET', path);
    expect(answer).toMatchObject({ status: 400, body: { code: 'VALIDATION' } });
    expect(JSON.stringify(answer.body)).toContain(named);
  });

  it('a deleted key has none', async () => {
    const [, , third] = keys as [Made, Made, Made];
    await steward.made('root', 'DELETE', `/v1/keys/${third.key.id}`);
    expect((await steward.call('root', 'GET', `/v1/keys/${third.key.id}/usage`)).status).toBe(404);
  });
});
