import { createHash } from 'node:crypto';
import { aProject, StewardProcess, verify } from '#libs/testing';

const KEYS = 10_000;
const tokenOf = (n: number): string => `legacy-${String(n)}-token-of-another-system`;
const encodings = ['hex', 'base64', 'base64url'] as const;

const line = (n: number): string =>
  JSON.stringify({
    projectId: 'GOV112345',
    digest: createHash('sha256')
      .update(tokenOf(n))
      .digest(encodings[n % 3] ?? 'hex'),
    owner: { type: 'user', id: 'bob' },
    name: `legacy ${String(n)}`,
  });

interface ImportAnswer {
  readonly imported: number;
  readonly unchanged: number;
  readonly failed: { readonly line: number; readonly code: string }[];
}

describe('import of the digests of another system', () => {
  let steward: StewardProcess;
  beforeAll(async () => {
    steward = await StewardProcess.start();
    await aProject(steward);
  });
  afterAll(async () => {
    await steward.stop();
  });

  const importLines = async (lines: readonly string[], query = ''): Promise<ImportAnswer> => {
    const response = await fetch(`${steward.url}/v1/keys/import${query}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${steward.adminToken}`, 'content-type': 'application/x-ndjson' },
      body: lines.join('\n') + '\n',
    });
    const body = (await response.json()) as ImportAnswer;
    expect([response.status, response.status === 200 ? null : body]).toEqual([200, null]);
    return body;
  };

  it('takes 10,000 once, changes nothing the second time, and their tokens go on working', async () => {
    const lines = Array.from({ length: KEYS }, (_, n) => line(n));
    expect(await importLines(lines.slice(0, 100), '?dryRun=true')).toMatchObject({ imported: 100, failed: [] });
    expect((await verify(steward, tokenOf(0))).code).toBe('NOT_FOUND');
    expect(await importLines(lines)).toMatchObject({ imported: KEYS, unchanged: 0, failed: [] });
    expect(await importLines(lines)).toMatchObject({ imported: 0, unchanged: KEYS, failed: [] });
    for (const n of [0, 1, 2, 5_000, 9_999])
      expect(await verify(steward, tokenOf(n))).toMatchObject({ code: 'VALID', owner: { type: 'user', id: 'bob' } });
    expect((await verify(steward, tokenOf(KEYS))).code).toBe('NOT_FOUND');
  }, 180_000);

  it('names each bad line and takes the others', async () => {
    const answer = await importLines([
      line(20_000),
      '{"projectId":',
      line(20_001).replace('GOV112345', 'NOWHERE'),
      '{}',
    ]);
    expect(answer.imported).toBe(1);
    expect(answer.failed.map((failure) => failure.line)).toEqual([2, 3, 4]);
  });
});
