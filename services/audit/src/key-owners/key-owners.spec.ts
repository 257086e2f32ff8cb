import type { OpenedEvent } from '#libs/eventsourcing';
import { KeyOwners } from './key-owners.js';

const alice = { type: 'user', id: 'alice', role: 'tenant_user' } as const;
const gov1 = { tenantId: 'acme', projectId: 'GOV1' };

function owners() {
  const index = new KeyOwners();
  const happen = (id: string, type: string, data: object = {}, place: object = gov1): string =>
    index.apply({ stream: `key-${id}`, type, data, ...place } as unknown as OpenedEvent);
  return { index, happen };
}

describe('the owners of keys', () => {
  it('are known of created, imported and deleted keys, by the place in which they stand', () => {
    const { index, happen } = owners();
    happen('a', 'KeyCreated', { owner: alice });
    happen('b', 'KeyImported', { owner: alice }, { tenantId: null, projectId: null });
    happen('a', 'KeyExtended', { to: '2026-01-01T00:00:00.000Z' });
    happen('a', 'KeyDeleted', { dataKeys: [] });
    expect(index.find('key_a')).toEqual({ ...gov1, owner: alice, deleted: true });
    expect(index.find('key_b')).toEqual({ tenantId: null, projectId: null, owner: alice, deleted: false });
    expect(index.find('key_c')).toBeUndefined();
    expect(index.size).toBe(2);
  });

  it('are those to whom the keys were handed over', () => {
    const { index, happen } = owners();
    const bob = { ...alice, id: 'bob' };
    happen('a', 'KeyCreated', { owner: alice });
    happen('a', 'KeyOwnershipTransferred', { from: alice, to: bob });
    expect(index.find('key_a')?.owner).toEqual(bob);
  });

  it('stand once for all of their keys', () => {
    const { index, happen } = owners();
    for (const id of ['a', 'b']) happen(id, 'KeyCreated', { owner: { ...alice } });
    expect(index.find('key_a')).toBe(index.find('key_b'));
  });
});
