import { fromJSON, type MessageTypeDefinition } from '@grpc/proto-loader';
import { Refusal } from '#libs/eventsourcing';
import { rpcStatusOf } from './rpc-status.js';

/** google/rpc/status.proto and error_details.proto, as a client has them. */
const text = (id: number) => ({ type: 'string', id });
const many = (type: string, id: number) => ({ rule: 'repeated' as const, type, id });
const texts = (id: number) => ({ keyType: 'string', type: 'string', id });
const rpc = fromJSON(
  {
    nested: {
      Status: { fields: { code: { type: 'int32', id: 1 }, message: text(2), details: many('Any', 3) } },
      Any: { fields: { typeUrl: text(1), value: { type: 'bytes', id: 2 } } },
      ErrorInfo: { fields: { reason: text(1), domain: text(2), metadata: texts(3) } },
      RequestInfo: { fields: { requestId: text(1) } },
      BadRequest: { fields: { fieldViolations: many('FieldViolation', 1) } },
      FieldViolation: { fields: { field: text(1), description: text(2) } },
      QuotaFailure: { fields: { violations: many('QuotaViolation', 1) } },
      QuotaViolation: {
        fields: {
          subject: text(1),
          description: text(2),
          apiService: text(3),
          quotaMetric: text(4),
          quotaDimensions: texts(6),
          quotaValue: { type: 'int64', id: 7 },
        },
      },
      RetryInfo: { fields: { retryDelay: { type: 'Duration', id: 1 } } },
      Duration: { fields: { seconds: { type: 'int64', id: 1 }, nanos: { type: 'int32', id: 2 } } },
    },
  },
  { longs: String },
);

type Message = Record<string, unknown>;

const read = (type: string, bytes: Buffer): Message =>
  (rpc[type] as unknown as MessageTypeDefinition<Message, Message>).deserialize(bytes);

function told(refusal: Refusal): Message {
  const { details, ...status } = read('Status', rpcStatusOf(refusal, 'req-1'));
  const read1 = ({ typeUrl, value }: { typeUrl: string; value: Buffer }): [string, Message] => {
    const type = typeUrl.replace('type.googleapis.com/google.rpc.', '');
    return [type, read(type, value)];
  };
  return { ...status, ...Object.fromEntries((details as { typeUrl: string; value: Buffer }[]).map(read1)) };
}

const violation = (userId: string | null, limit: number | 'unlimited' = 2 ** 53 - 1) => ({
  scope: { type: userId === null ? 'project' : 'member', userId },
  service: 'compute',
  resource: 'vcpu',
  limit,
  used: 7,
  reserved: 2,
  requested: 4,
  available: 1,
});

describe('the rich error of gRPC', () => {
  it('tells what the problem of HTTP tells: fields, when to try again, further members', () => {
    const errors = [{ location: 'request.days', message: 'must be at least 1' }];
    expect(told(new Refusal('VALIDATION', 'Wrong.', { errors, retryAfterSeconds: 2.5 }))).toEqual({
      code: 3,
      message: 'Wrong.',
      ErrorInfo: { reason: 'VALIDATION', domain: 'steward' },
      RequestInfo: { requestId: 'req-1' },
      BadRequest: { fieldViolations: [{ field: 'days', description: 'must be at least 1' }] },
      RetryInfo: { retryDelay: { seconds: '3' } },
    });
    const results = [{ status: 'done' }, { status: 'refused', code: 'NOT_SET' }];
    const extensions = { results, source: 'member', count: 3 };
    expect(told(new Refusal('COUNT_MISMATCH', 'No.', { extensions }))['ErrorInfo']).toMatchObject({
      metadata: { results: JSON.stringify(results), source: 'member', count: '3' },
    });
  });

  it('tells every violation of a denied reservation with its limit and amounts', () => {
    const violations = [violation(null), violation('alice', 'unlimited')];
    const { QuotaFailure } = told(new Refusal('QUOTA_EXCEEDED', 'No.', { extensions: { violations } }));
    const common = {
      description: '4 asked, 1 left',
      apiService: 'compute',
      quotaMetric: 'vcpu',
      quotaDimensions: { used: '7', reserved: '2', requested: '4', available: '1' },
    };
    expect(QuotaFailure).toEqual({
      violations: [
        { ...common, subject: 'project', quotaValue: String(2 ** 53 - 1) },
        { ...common, subject: 'user:alice' },
      ],
    });
  });

  it('stays below what clients take of metadata, and counts what it leaves out', () => {
    const extensions = {
      violations: Array.from({ length: 500 }, (_, n) => violation(`user-${n}`)),
      results: Array.from({ length: 500 }, (_, n) => ({ status: 'refused', code: 'NOT_SET', detail: `No. ${n}` })),
      tooLong: 'x'.repeat(10_000),
    };
    const refusal = new Refusal('QUOTA_EXCEEDED', 'No.', { extensions });
    expect(rpcStatusOf(refusal, 'req-1').length).toBeLessThan(6_600);
    const { ErrorInfo, QuotaFailure } = told(refusal);
    const { metadata } = ErrorInfo as { metadata: Record<string, string> };
    const shown = (QuotaFailure as { violations: object[] }).violations.length;
    expect(shown).toBeGreaterThan(15);
    expect(metadata['violationsOmitted']).toBe(String(500 - shown));
    const results = JSON.parse(metadata['results'] ?? '') as object[];
    expect(results.length).toBeGreaterThan(30);
    expect(metadata['resultsOmitted']).toBe(String(500 - results.length));
    expect(metadata['tooLong']).toBeUndefined();
  });
});
