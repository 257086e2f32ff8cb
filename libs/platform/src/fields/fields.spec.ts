import { Refusal } from '#libs/eventsourcing';
import { NoFields } from './field-rules.js';
import {
  BooleanField,
  CustomField,
  EnumField,
  IdField,
  IntegerField,
  IntegerListField,
  JsonField,
  ObjectField,
  ObjectListField,
  TextField,
  TextListField,
  TextMapField,
  TimeField,
  utcTimeOf,
} from './fields.js';
import { readFields } from './read-fields.js';

class OwnerBody {
  @EnumField(['user', 'service'])
  type!: string;
  @IdField()
  id!: string;
}

class KeyBody {
  @TextField({ min: 1, max: 5, optional: true, nullable: true })
  name?: string | null;
  @ObjectField(() => OwnerBody, { optional: true })
  owner?: OwnerBody;
  @TextMapField({ keysMax: 2, key: { max: 3, pattern: /^[a-z]+$/ }, value: { max: 4 }, optional: true })
  labels?: Record<string, string>;
  @TextListField({ max: 4, itemsMax: 2, optional: true })
  scopes?: string[];
  @IntegerListField({ min: 0, max: 9, itemsMax: 3, optional: true })
  warnDays?: number[];
  @TimeField({ optional: true })
  expiresAt?: string;
  @JsonField({ sizeBytesMax: 30, keysMax: 2, optional: true })
  metadata?: Record<string, unknown>;
  @ObjectListField(() => OwnerBody, { itemsMax: 2, optional: true })
  others?: OwnerBody[];
  @CustomField(
    (value) => (value === 'unlimited' ? undefined : 'must be "unlimited"'),
    { type: 'string' },
    { optional: true },
  )
  limit?: string;
}

class Query {
  @IntegerField({ min: 1, max: 200, optional: true })
  limit = 50;
  @BooleanField({ optional: true })
  dryRun?: boolean;
  @TextListField({ max: 9, itemsMax: 2, optional: true })
  label?: string[];
}

class Longer extends Query {
  @TextField({ max: 9 })
  q!: string;
}

@NoFields()
class Nothing {}

const errorsOf = (type: new () => object, value: unknown, place = 'body'): unknown => {
  try {
    readFields(type, value, place);
  } catch (error) {
    if (error instanceof Refusal) return error.extra.errors;
    throw error;
  }
  return undefined;
};

describe('fields', () => {
  it('reads a well-formed body as its class, with nested classes', () => {
    const body = readFields(
      KeyBody,
      { name: 'a', owner: { type: 'user', id: 'u.1' }, others: [{ type: 'service', id: 's' }], labels: { a: 'b' } },
      'body',
    );
    expect(body).toBeInstanceOf(KeyBody);
    expect(body.owner).toBeInstanceOf(OwnerBody);
    expect(body.others?.[0]).toBeInstanceOf(OwnerBody);
    expect(body).toEqual({
      name: 'a',
      owner: { type: 'user', id: 'u.1' },
      others: [{ type: 'service', id: 's' }],
      labels: { a: 'b' },
    });
  });

  it('names every field at fault, down to the member, and never repeats the value', () => {
    const body = {
      name: 'stw_secret',
      owner: { type: 'stw_secret' },
      labels: { a: 'b', B: 'c' },
      scopes: ['ok', 'stw_secret'],
      warnDays: [1, 1.5],
      expiresAt: 'stw_secret',
      metadata: { a: { b: 'stw_secret_of_some_length' } },
      others: [
        { type: 'user', id: 'u' },
        { type: 'user', id: 'stw secret' },
      ],
      limit: 'stw_secret',
    };
    expect(errorsOf(KeyBody, body)).toEqual([
      { location: 'body.name', message: 'must have 1 to 5 characters' },
      { location: 'body.owner.type', message: 'must be one of user, service' },
      { location: 'body.owner.id', message: 'is required' },
      { location: 'body.labels', message: 'has a name that must be of the form ^[a-z]+$' },
      { location: 'body.scopes.1', message: 'must have 1 to 4 characters' },
      { location: 'body.warnDays.1', message: 'must be an integer from 0 to 9' },
      { location: 'body.expiresAt', message: 'must be a time as in RFC 3339' },
      { location: 'body.metadata', message: 'must have at most 30 bytes as JSON' },
      { location: 'body.others.1.id', message: 'must be 1 to 64 of A-Z a-z 0-9 . _ -' },
      { location: 'body.limit', message: 'must be "unlimited"' },
    ]);
    expect(JSON.stringify(errorsOf(KeyBody, body))).not.toContain('secret');
  });

  it('places a fault of a map at its name', () => {
    expect(errorsOf(KeyBody, { labels: { a: 7 } })).toEqual([{ location: 'body.labels.a', message: 'must be a text' }]);
  });

  it('refuses unknown fields at every depth, without their values and without secrets in their names', () => {
    const token = `stw_live_${'a'.repeat(16)}_${'b'.repeat(38)}`;
    expect(errorsOf(KeyBody, { owner: { type: 'user', id: 'u', admin: true }, [token]: 1, isAdmin: true })).toEqual([
      { location: 'body.owner.admin', message: 'is not a known field' },
      { location: 'body.[token]', message: 'is not a known field' },
      { location: 'body.isAdmin', message: 'is not a known field' },
    ]);
    expect(errorsOf(Nothing, { a: 1 })).toEqual([{ location: 'body.a', message: 'is not a known field' }]);
    expect(errorsOf(Nothing, {})).toBeUndefined();
  });

  it.each([[null], ['text'], [7], [[]], [[{ name: 'a' }]], [true]])('refuses %j as a whole body', (body) => {
    expect(errorsOf(KeyBody, body)).toEqual([{ location: 'body', message: 'must be a JSON object' }]);
  });

  it('refuses a wrong type for every kind of field', () => {
    const fields = ['name', 'owner', 'labels', 'scopes', 'warnDays', 'expiresAt', 'metadata', 'others', 'limit'];
    for (const wrong of [7, true, [[]], [null]])
      for (const name of fields)
        expect([name, errorsOf(KeyBody, { [name]: wrong })]).toEqual([
          name,
          [{ location: expect.stringMatching(`^body.${name}`) as string, message: expect.any(String) as string }],
        ]);
  });

  it('tells null from absent: only a nullable field takes null', () => {
    expect(readFields(KeyBody, { name: null }, 'body').name).toBeNull();
    expect(errorsOf(KeyBody, { owner: null, labels: null })).toEqual([
      { location: 'body.owner', message: 'must not be null' },
      { location: 'body.labels', message: 'must not be null' },
    ]);
  });

  it('counts code points and refuses text that cannot be stored', () => {
    expect(errorsOf(KeyBody, { name: '🔑🔑🔑🔑🔑' })).toBeUndefined();
    expect(errorsOf(KeyBody, { name: '🔑🔑🔑🔑🔑🔑' })).toBeDefined();
    expect(errorsOf(KeyBody, { name: 'a\0' })).toBeDefined();
    expect(errorsOf(KeyBody, { name: '\ud83d' })).toBeDefined();
  });

  it('reads numbers, truths and lists from a query, and nothing that only looks like them', () => {
    expect(readFields(Query, { limit: '10', dryRun: 'true', label: 'a' }, 'query')).toEqual({
      limit: 10,
      dryRun: true,
      label: ['a'],
    });
    expect(readFields(Longer, { q: 'x' }, 'query')).toEqual({ limit: 50, q: 'x' });
    for (const limit of ['', ' 1', '0x1', '1e1', '201', ['1', '2'], '1.0'])
      expect(errorsOf(Query, { limit }, 'query')).toEqual([
        { location: 'query.limit', message: 'must be an integer from 1 to 200' },
      ]);
    expect(errorsOf(Query, { dryRun: 'yes' }, 'query')).toBeDefined();
    expect(errorsOf(Query, { limit: 10, dryRun: 'true' })).toEqual([
      { location: 'body.dryRun', message: 'must be true or false' },
    ]);
  });

  it('brings times to UTC with milliseconds and refuses days that do not exist', () => {
    expect(readFields(KeyBody, { expiresAt: '2026-03-01T01:00:00.12345+02:00' }, 'body').expiresAt).toBe(
      '2026-02-28T23:00:00.123Z',
    );
    expect(utcTimeOf('2028-02-29T00:00:00z')).toBe('2028-02-29T00:00:00.000Z');
    for (const text of [
      '2026-02-29T00:00:00Z',
      '2026-13-01T00:00:00Z',
      '2026-00-01T00:00:00Z',
      '2026-01-00T00:00:00Z',
      '2026-01-01T24:00:00Z',
      '2026-01-01T00:00:60Z',
      '2026-01-01',
      '2026-01-01T00:00:00',
      '1969-12-31T23:59:59Z',
      '+275760-09-13T00:00:00Z',
    ])
      expect([text, utcTimeOf(text)]).toEqual([text, undefined]);
  });
});
