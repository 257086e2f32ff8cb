import { randomBytes } from 'node:crypto';
import { expiryOf, keyIdOf, ownerOf, projectOf, scopesOf, tenantOf, tokenOf, usedEvery } from './verify-keys.mjs';

/** Puts `count` keys into the index; `verifierOf` makes the verifiers of those that are shown, others get noise. */
export function fill(index, count, used, verifierOf) {
  const every = usedEvery(count, used);
  const noise = randomBytes(65_536);
  const createdAtMs = Date.now();
  for (let n = 0; n < count; n += 1) {
    const noisy = (n * 16) % (noise.length - 16);
    index.put({
      attributes: {
        keyId: keyIdOf(n),
        owner: { type: 'user', id: ownerOf(n), role: n % 7 === 0 ? 'tenant_admin' : 'tenant_user' },
        name: null,
        description: null,
        labels: {},
        metadata: {},
        environment: 'live',
        scopes: scopesOf(n),
        audiences: [],
        ipAllow: [],
        ipDeny: [],
        notBefore: null,
        expiresAt: expiryOf(n),
        canManageKeys: false,
      },
      tenantId: tenantOf(n),
      projectId: projectOf(n),
      imported: false,
      createdAtMs: createdAtMs - n,
      pepperVersion: '1',
      verifier: n % every === 0 ? verifierOf(tokenOf(n)) : noise.subarray(noisy, noisy + 16),
      revision: 1,
    });
  }
}
