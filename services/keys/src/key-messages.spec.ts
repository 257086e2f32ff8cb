import fc from 'fast-check';
import { Refusal } from '#libs/eventsourcing';
import { readFields } from '#libs/platform';
import { fieldsOf, patchOf } from './key-messages.js';
import { CreateKeyBody, UpdateKeyBody } from './keys.dto.js';

function faultsOf(read: () => unknown): string[] {
  try {
    read();
  } catch (error) {
    if (error instanceof Refusal) return (error.extra.errors ?? []).map(({ location }) => location);
    throw error;
  }
  return [];
}

describe('a message as the fields of HTTP', () => {
  it('tells all of the owner’s scopes from none, and never from what the policy says', () => {
    expect(fieldsOf({})).toEqual({});
    expect(fieldsOf({ scopes: {}, neverExpires: true })).toEqual({ scopes: [], expiresAt: null });
    expect(fieldsOf({ scopes: { values: ['a:b'] }, neverExpires: false, minPosition: '1' })).toEqual({
      scopes: ['a:b'],
    });
  });

  it('takes metadata and labels only as HTTP would', () => {
    expect(fieldsOf({ metadataJson: '{"a":[1,null]}' })).toEqual({ metadata: { a: [1, null] } });
    for (const json of [
      '',
      '{',
      '{"a":1,"a":2}',
      '{"__proto__":{}}',
      '{"n":1e400}',
      '{"t":"\\u0000"}',
      '9007199254740993',
    ])
      expect(faultsOf(() => fieldsOf({ metadataJson: json }))[0]).toMatch(/^request\.metadataJson/);
    for (const json of ['[]', 'null', '1', '"text"'])
      expect(faultsOf(() => readFields(CreateKeyBody, fieldsOf({ metadataJson: json }), 'request'))).toEqual([
        'request.metadata',
      ]);
    for (const name of ['__proto__', 'constructor', 'prototype'])
      expect(faultsOf(() => fieldsOf({ labels: Object.fromEntries([[name, 'x']]) }))).toEqual([
        `request.labels.${name}`,
      ]);
  });

  it('survives any text as metadata without another error than a refusal', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.json()), (metadataJson) => {
        faultsOf(() => readFields(CreateKeyBody, fieldsOf({ metadataJson }), 'request'));
      }),
    );
  });
});

describe('the mask of an update', () => {
  it('leaves what it does not name, sets what it names and clears what is named and not there', () => {
    expect(patchOf({})).toEqual({});
    expect(patchOf({ updateMask: ['name', 'ip_allow', 'notBefore'], name: 'n', ipAllow: ['::1'] })).toEqual({
      name: 'n',
      ipAllow: ['::1'],
      notBefore: null,
    });
    expect(patchOf(fieldsOf({ updateMask: ['metadata_json', 'scopes'], metadataJson: '{}' }))).toEqual({
      metadata: {},
      scopes: null,
    });
  });

  it('refuses a field that it does not name, and a name that is no field', () => {
    expect(faultsOf(() => patchOf({ updateMask: ['name'], name: 'n', description: 'd' }))).toEqual([
      'request.description',
    ]);
    for (const name of ['status', 'key_id', '__proto__', 'constructor', ''])
      expect(faultsOf(() => readFields(UpdateKeyBody, patchOf({ updateMask: [name] }), 'request'))).toHaveLength(1);
  });
});
