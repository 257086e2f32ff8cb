import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError, loadConfig } from '../config/config.js';

const corp = { issuer: 'https://id.example.com', audience: 'steward', tenants: ['acme'], idPrefix: 'corp_' };

function outcome(value: unknown): readonly string[] {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  try {
    loadConfig({ STEWARD_OIDC_ISSUERS: text });
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe('STEWARD_OIDC_ISSUERS', () => {
  it('is no issuer unless set', () => {
    expect(loadConfig({}).oidcIssuers).toEqual([]);
  });

  it('is a JSON list, with defaults that are strict', () => {
    expect(loadConfig({ STEWARD_OIDC_ISSUERS: JSON.stringify([corp]) }).oidcIssuers).toEqual([
      {
        ...corp,
        algorithms: ['RS256', 'PS256', 'ES256', 'EdDSA'],
        typ: 'at+jwt',
        maxTokenAgeSeconds: 86_400,
        jwksUri: null,
      },
    ]);
  });

  it('is the path of a file as well', () => {
    const folder = mkdtempSync(join(tmpdir(), 'steward-issuers-'));
    try {
      const file = join(folder, 'issuers.json');
      writeFileSync(file, JSON.stringify([corp]));
      expect(loadConfig({ STEWARD_OIDC_ISSUERS: file }).oidcIssuers).toHaveLength(1);
      expect(outcome(join(folder, 'none.json'))).toEqual([
        'STEWARD_OIDC_ISSUERS must be a JSON list of issuers, or the path of a readable file that holds one.',
      ]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  const wrong: [string, string, unknown][] = [
    ['an issuer over plain http', 'issuer', 'http://id.example.com'],
    ['an issuer with a password', 'issuer', 'https://a:hunter2@id.example.com'],
    ['an issuer with a space behind', 'issuer', 'https://id.example.com '],
    ['an issuer with a query', 'issuer', 'https://id.example.com?x=1'],
    ['an issuer with a fragment', 'issuer', 'https://id.example.com#x'],
    ['an issuer that is a file', 'issuer', 'file:///etc/passwd'],
    ['an issuer that is too long', 'issuer', `https://id.example.com/${'x'.repeat(200)}`],
    ['no issuer', 'issuer', undefined],
    ['no audience', 'audience', undefined],
    ['an empty audience', 'audience', ''],
    ['no tenants', 'tenants', undefined],
    ['an empty list of tenants', 'tenants', []],
    ['a tenant that is no id', 'tenants', ['acme', 'a b']],
    ['one tenant in place of a list', 'tenants', 'acme'],
    ['no word about the prefix', 'idPrefix', undefined],
    ['an empty prefix', 'idPrefix', ''],
    ['a prefix without an underscore', 'idPrefix', 'corp'],
    ['a prefix in capitals', 'idPrefix', 'Corp_'],
    ['a prefix with two underscores', 'idPrefix', 'my_corp_'],
    ['a prefix that is too long', 'idPrefix', 'abcdefghijklm_'],
    ['an algorithm with a shared secret', 'algorithms', ['HS256']],
    ['no algorithm at all', 'algorithms', []],
    ['the algorithm none', 'algorithms', ['RS256', 'none']],
    ['an empty typ', 'typ', ''],
    ['tokens that live for years', 'maxTokenAgeSeconds', 1e9],
    ['keys over plain http', 'jwksUri', 'http://id.example.com/jwks'],
  ];

  it.each(wrong)('refuses %s, by the name of the field and without its value', (_, field, value) => {
    const problems = outcome([{ ...corp, [field]: value }]);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(new RegExp(`^STEWARD_OIDC_ISSUERS\\[0\\]\\.${field} must be `));
    expect(problems[0]).not.toContain('hunter2');
  });

  it('refuses what is no list of objects, and fields that mean nothing', () => {
    expect(outcome('[')).toEqual(['STEWARD_OIDC_ISSUERS must be a JSON list of at most 100 issuers.']);
    expect(outcome(['x'])).toEqual(['STEWARD_OIDC_ISSUERS[0] must be an object.']);
    expect(outcome([{ ...corp, idPrefx: 'x_' }])).toEqual(['STEWARD_OIDC_ISSUERS[0] has a field that means nothing.']);
    expect(outcome([{ ...corp, toString: 'x' }])).toHaveLength(1);
  });

  it('refuses two of one name, two of one prefix, and two without', () => {
    const other = { ...corp, issuer: 'https://lab.example.com', idPrefix: 'lab_' };
    expect(outcome([corp, other])).toEqual([]);
    expect(outcome([corp, { ...other, idPrefix: null }])).toEqual([]);
    expect(outcome([corp, { ...other, issuer: corp.issuer }])).toHaveLength(1);
    expect(outcome([corp, { ...other, idPrefix: 'corp_' }])).toHaveLength(1);
    expect(
      outcome([
        { ...corp, idPrefix: null },
        { ...other, idPrefix: null },
      ]),
    ).toHaveLength(1);
  });

  it('takes http to this machine alone', () => {
    for (const host of ['127.0.0.1:9000', 'localhost', '[::1]:9000', '127.9.9.9'])
      expect(outcome([{ ...corp, issuer: `http://${host}` }])).toEqual([]);
    for (const host of ['127.0.0.1.example.com', 'localhost.example.com', '128.0.0.1'])
      expect(outcome([{ ...corp, issuer: `http://${host}` }])).toHaveLength(1);
  });
});
