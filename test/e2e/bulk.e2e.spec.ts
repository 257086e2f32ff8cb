import { aKey, aProject, StewardProcess, verify } from '#libs/testing';

interface BulkAnswer {
  readonly results: { readonly id: string; readonly status: number; readonly code?: string }[];
  readonly correlationId: string;
}

describe('bulk actions', () => {
  let steward: StewardProcess;
  beforeAll(async () => {
    steward = await StewardProcess.start();
    await aProject(steward);
  });
  afterAll(async () => {
    await steward.stop();
  });

  it('deletes 500 keys, names the two ids that are wrong, and tells all of them under one correlation id', async () => {
    const keys: { id: string; secret: string }[] = [];
    for (let made = 0; made < 500; made += 50) {
      const some = await Promise.all(Array.from({ length: 50 }, () => aKey(steward)));
      keys.push(...some.map(({ key, secret }) => ({ id: key.id, secret })));
    }
    const wrong = ['key_0000000000000000', 'key_zzzzzzzzzzzzzzzz'];
    const ids = [...keys.slice(0, 250).map(({ id }) => id), ...wrong, ...keys.slice(250).map(({ id }) => id)];

    const dry = await steward.call<BulkAnswer>('POST', '/v1/keys/bulk', {
      body: { action: 'delete', ids, dryRun: true },
    });
    expect(dry.status).toBe(200);
    expect((await verify(steward, keys[0]?.secret ?? '')).code).toBe('VALID');

    const { status, body } = await steward.call<BulkAnswer>('POST', '/v1/keys/bulk', {
      body: { action: 'delete', ids },
    });
    expect(status).toBe(200);
    expect(body.results.map(({ id }) => id)).toEqual(ids);
    expect(body.results.filter((result) => result.status >= 400)).toEqual(
      wrong.map((id) => expect.objectContaining({ id, status: 404, code: 'NOT_FOUND' }) as unknown),
    );
    for (const { secret } of [keys[0], keys[249], keys[499]].flatMap((key) => key ?? []))
      expect((await verify(steward, secret)).code).toBe('NOT_FOUND');

    const history = await steward.call<{ data: { type: string; correlationId: string }[] }>(
      'GET',
      `/v1/keys/${keys[499]?.id ?? ''}/history`,
    );
    expect(history.body.data.at(-1)).toMatchObject({ type: 'KeyDeleted', correlationId: body.correlationId });
  });
});
