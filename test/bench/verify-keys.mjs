// The keys of the verify group: the same in the server that is measured, in its limit and in the load.
import { createHash, hash } from 'node:crypto';
import { newToken } from '../../dist/services/keys/src/key-secret.js';

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

export const keyIdOf = (n) => {
  const digest = hash('sha256', `key ${n}`, 'hex');
  let id = 'key_';
  for (let at = 0; at < 32; at += 2) id += ALPHABET.charAt(parseInt(digest.slice(at, at + 2), 16) % 62);
  return id;
};

export const tokenOf = (n) =>
  newToken('live', keyIdOf(n), (size) => {
    const bytes = Buffer.alloc(size);
    createHash('sha512').update(`secret ${n}`).digest().copy(bytes);
    return bytes;
  });

/** Every how many keys one is shown; the others only fill the index. */
export const usedEvery = (count, used) => Math.max(1, Math.floor(count / used));

export const ownerOf = (n) => `user-${n % 100_000}`;
export const projectOf = (n) => `GOV${100_000 + (n % 5_000)}`;
export const tenantOf = (n) => `tenant-${n % 50}`;
export const expiryOf = (n) => (n % 4 === 0 ? null : new Date(Date.UTC(2090, 0, 1) + n).toISOString());
const scopeSets = [null, ['compute:read'], ['compute:read', 'compute:write'], ['storage:*'], []];
export const scopesOf = (n) => scopeSets[n % scopeSets.length];

/** The key of the gateway that asks. */
export const CALLER = -1;
