// P6, in a process of its own so that nothing else is weighed: what a million keys take, in the index and in a Map of
// objects with the same facts.
import { SecretMatcher } from '../../dist/services/keys/src/verification/secret-match.js';
import { VerificationIndex } from '../../dist/services/keys/src/verification/verification-index.js';
import { expiryOf, keyIdOf, ownerOf, projectOf, scopesOf, tenantOf } from './verify-keys.mjs';
import { fill } from './verify-fill.mjs';

const [what, countText] = process.argv.slice(2);
const count = Number(countText);

function bytes() {
  globalThis.gc();
  globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** As a plain program would keep them. */
function mapOf() {
  const keys = new Map();
  for (let n = 0; n < count; n += 1) {
    const expiresAt = expiryOf(n);
    keys.set(keyIdOf(n), {
      verifier: Buffer.alloc(32, n),
      tenantId: tenantOf(n),
      projectId: projectOf(n),
      owner: { type: 'user', id: ownerOf(n), role: 'tenant_user' },
      scopes: scopesOf(n),
      status: 'active',
      createdAt: Date.now(),
      expiresAt: expiresAt === null ? null : Date.parse(expiresAt),
      revision: 1,
    });
  }
  return keys;
}

// Loaded once before, so that code and constants are not weighed.
fill(new VerificationIndex(), 10, 10, () => Buffer.alloc(32));
const before = bytes();
let kept;
if (what === 'index') {
  kept = new VerificationIndex();
  fill(kept, count, 1, () => Buffer.alloc(32));
  // With the room that it keeps for secrets seen before.
  globalThis.matcher = new SecretMatcher(kept, { current: '1', hmac: () => Buffer.alloc(32) });
} else kept = mapOf();
const taken = bytes() - before;
process.send({ bytes: taken, size: kept.size });
