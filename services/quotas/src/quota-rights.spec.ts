import { type Audience, audienceOf, isSeenBy } from './quota-rights.js';

const own = (projectId: string, ownerType: 'user' | 'service' | 'project' = 'user') =>
  ({ kind: 'own', projectId, ownerType, ownerId: 'me' }) as const;
const all: Audience = { kind: 'all' };
const mine: Audience = { kind: 'own', userId: 'me' };
const nobody: Audience = { kind: 'own', userId: null };

describe('whom a list of project P1 of tenant T1 shows', () => {
  it.each([
    ['the platform', [{ kind: 'all' }] as const, all],
    ['its tenant', [{ kind: 'tenant', tenantId: 'T1' }] as const, all],
    ['the project', [own('P2'), { kind: 'project', projectId: 'P1' }] as const, all],
    ['the own ones there', [own('P1')] as const, mine],
    ['the own ones there and another tenant', [{ kind: 'tenant', tenantId: 'T2' }, own('P1')] as const, mine],
    ['the own ones there and another project', [{ kind: 'project', projectId: 'P2' }, own('P1')] as const, mine],
    ['the own ones elsewhere', [own('P2')] as const, nobody],
    ['what a project owns', [own('P1', 'project')] as const, nobody],
    ['nothing', [], nobody],
  ])('to whoever may see %s', (_, visible, audience) => {
    expect(audienceOf(visible, 'T1', 'P1')).toEqual(audience);
  });

  it('is never the project itself in the place of a person', () => {
    expect(isSeenBy(nobody, '')).toBe(false);
    expect(isSeenBy(mine, 'me')).toBe(true);
    expect(isSeenBy(mine, 'other')).toBe(false);
    expect(isSeenBy(all, 'other')).toBe(true);
  });
});
