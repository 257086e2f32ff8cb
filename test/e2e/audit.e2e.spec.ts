import { execFile } from 'node:child_process';
import { get, type IncomingMessage } from 'node:http';
import { fileURLToPath } from 'node:url';
import { type Client, credentials, loadPackageDefinition, Metadata } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { PROTO_ROOT } from '#libs/platform';
import { aKey, aProject, type CreatedKey, StewardProcess } from '#libs/testing';

const script = fileURLToPath(new URL('../../examples/verify-history.mjs', import.meta.url));

interface Told {
  readonly position: string;
  readonly stream: string;
  readonly revision: number;
  readonly type: string;
  readonly actor: { readonly type: string; readonly id: string };
  readonly recordedAt: string;
  readonly data: object;
  readonly private: object;
  readonly leafHash: string;
  readonly chainHash: string;
  readonly raw: string;
}

const verifyHistory = (history: string): Promise<{ code: number; stdout: string; stderr: string }> =>
  new Promise((resolve) => {
    const child = execFile(process.execPath, [script], { timeout: 30_000 }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, stdout, stderr });
    });
    // Whoever has found a fault reads no further.
    child.stdin?.on('error', () => undefined).end(history);
  });

/** Reads it all and keeps nothing. */
async function drained(answer: AsyncIterable<unknown>): Promise<void> {
  const iterator = answer[Symbol.asyncIterator]();
  while ((await iterator.next()).done !== true);
}

describe('the history as an auditor reads it', () => {
  let steward: StewardProcess;
  let auditor: string;
  let key: CreatedKey['key'];

  const ask = (query: string, token = auditor): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${token}`, accept: 'application/x-ndjson' };
      get(`${steward.url}/v1/audit/events?${query}`, { headers }, resolve).on('error', reject);
    });
  const replay = async (query: string): Promise<string> => {
    const answer = await ask(query);
    let text = '';
    for await (const chunk of answer.setEncoding('utf8')) text += chunk as string;
    if (answer.statusCode !== 200) throw new Error(`${answer.statusCode ?? 0}: ${text}`);
    return text;
  };
  const eventsOf = (history: string): Told[] =>
    history
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Told);
  const lineOf = (event: object): string => `${JSON.stringify(event)}\n`;

  beforeAll(async () => {
    steward = await StewardProcess.start();
    await aProject(steward);
    await steward.call('PUT', '/v1/principals/ada', { body: { type: 'user', role: 'auditor', tenantId: 'acme' } });
    const made = await steward.call<CreatedKey>('POST', '/v1/principals/ada/keys', { body: {} });
    auditor = made.body.secret;
    ({ key } = await aKey(steward, { name: 'night batch', ttlDays: 30 }));
    await steward.call('POST', `/v1/keys/${key.id}/extend`, { body: { days: 30 } });
  });
  afterAll(async () => {
    await steward.stop();
  });

  it('tells who did what and when, in the order of the log', async () => {
    const history = eventsOf(await replay('projectId=GOV112345'));
    expect(history.map(({ type }) => type)).toEqual([
      'ProjectCreated',
      'MemberAdded',
      'MemberAdded',
      'KeyCreated',
      'KeyExtended',
    ]);
    expect(history.at(-1)).toMatchObject({
      stream: key.id.replace('key_', 'key-'),
      revision: 2,
      actor: { type: 'service', id: 'bootstrap-admin' },
      data: { days: 30 },
    });
    expect(history.map(({ position }) => position)).toEqual(history.map(({ position }) => position).sort());
  });

  it('is proved from its bytes by a script of a page, which names one changed byte', async () => {
    const history = await replay('tenantId=acme&raw=true');
    const events = eventsOf(history);
    expect(await verifyHistory(history)).toMatchObject({
      code: 0,
      stdout: `OK: ${events.length} events in 5 streams.\n`,
    });

    const at = events.findIndex(({ type }) => type === 'KeyExtended');
    const changed = events[at] as Told;
    const bytes = Buffer.from(changed.raw, 'base64');
    const digit = bytes.indexOf('"days":30') + '"days":'.length;
    bytes[digit] = (bytes[digit] ?? 0) ^ 1;
    const forgeries: Record<string, unknown>[] = [
      { raw: bytes.toString('base64') },
      { data: { ...changed.data, days: 20 } },
      { leafHash: changed.leafHash.replace(/^./, (hex) => (hex === '0' ? '1' : '0')) },
      { chainHash: changed.chainHash.replace(/^./, (hex) => (hex === '0' ? '1' : '0')) },
      { actor: { ...changed.actor, id: 'somebody' } },
      { recordedAt: '2026-01-01T00:00:00.000Z' },
      { revision: 3 },
      { raw: undefined },
    ];
    for (const forgery of forgeries) {
      const forged = events.map((event, n) => lineOf(n === at ? { ...event, ...forgery } : event)).join('');
      const { code, stderr } = await verifyHistory(forged);
      expect([forgery, code]).toEqual([forgery, 1]);
      expect(stderr).toMatch(new RegExp(`^BAD ${changed.stream}/\\d at position ${changed.position}: `));
    }
    // One that was left out is missed by the next of its stream.
    const left = events.filter(({ stream, revision }) => !(stream === 'project-GOV112345' && revision === 2));
    expect(await verifyHistory(left.map(lineOf).join(''))).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('BAD project-GOV112345/3') as unknown,
    });
    // What is no history proves nothing: an answer that was refused, or none.
    expect(await verifyHistory(lineOf({ code: 'FORBIDDEN', status: 403 }))).toMatchObject({
      code: 1,
      stderr: 'BAD line 1: it is no event: the answer is FORBIDDEN.\n',
    });
    expect(await verifyHistory('')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^BAD history: /) as unknown,
    });
  });

  it('is the same over gRPC, with the same refusals', async () => {
    const { steward: loaded } = loadPackageDefinition(
      loadSync('steward/v1/audit.proto', { includeDirs: [PROTO_ROOT], longs: Number, arrays: true }),
    ) as unknown as { steward: { v1: { AuditService: new (address: string, of: unknown) => Client } } };
    const client = new loaded.v1.AuditService(steward.grpcAddress, credentials.createInsecure()) as Client & {
      readEvents(request: object, metadata: Metadata): AsyncIterable<Record<string, unknown>>;
    };
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${auditor}`);
    try {
      const told: Record<string, unknown>[] = [];
      const request = { tenantId: 'acme', type: ['KeyCreated', 'MemberAdded'], raw: true };
      for await (const event of client.readEvents(request, metadata)) told.push(event);
      const expected = eventsOf(await replay('tenantId=acme&type=KeyCreated&type=MemberAdded&raw=true'));
      expect(told.length).toBe(4);
      expect(told).toEqual(
        expected.map(
          ({ position, revision, chainHash, data, private: parts, raw }) =>
            expect.objectContaining({
              position,
              revision,
              chainHash,
              dataJson: JSON.stringify(data),
              privateJson: JSON.stringify(parts),
              raw: Buffer.from(raw, 'base64'),
            }) as unknown,
        ),
      );
      const refused = (asked: object): Promise<void> => drained(client.readEvents(asked, metadata));
      await expect(refused({ tenantId: 'other' })).rejects.toMatchObject({ code: 5 });
      await expect(refused({ type: ['KeyMelted'] })).rejects.toMatchObject({ code: 3 });
      await expect(refused({ after: 'x' })).rejects.toMatchObject({ code: 3 });
    } finally {
      client.close();
    }
  });

  it('goes on beyond the request timeout, and what is broken off by a stop is no whole answer', async () => {
    // More than the sockets between the two hold, so that the end is not sent before it is read.
    for (let made = 0; made < 3_000; made += 1_000) {
      const body = { type: 'user', id: 'alice' };
      const lines = Array.from({ length: 1_000 }, (_, n) =>
        lineOf({
          projectId: 'GOV112345',
          digest: Buffer.from(`${made + n}`.padStart(32, '.')).toString('hex'),
          owner: body,
          metadata: { text: 'x'.repeat(3_500) },
        }),
      );
      const answer = await fetch(`${steward.url}/v1/keys/import`, {
        method: 'POST',
        headers: { authorization: `Bearer ${steward.adminToken}`, 'content-type': 'application/x-ndjson' },
        body: lines.join(''),
      });
      expect(((await answer.json()) as { imported: number }).imported).toBe(1_000);
    }
    const [slow, broken] = await Promise.all([ask('raw=true'), ask('raw=true')]);
    slow.pause();
    broken.pause();
    await new Promise((resolve) => setTimeout(resolve, 17_000));
    let lines = 0;
    for await (const chunk of slow as AsyncIterable<Buffer>) for (const byte of chunk) if (byte === 0x0a) lines += 1;
    expect(lines).toBeGreaterThan(3_000);

    const stopped = steward.stop();
    await expect(drained(broken)).rejects.toThrow();
    expect(await stopped).toBe(0);
  });
});
