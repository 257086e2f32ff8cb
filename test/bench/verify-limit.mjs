// The limit of P1 and P2: node:http doing the same hash, lookup and JSON, and nothing else.
import { hash } from 'node:crypto';
import { createServer } from 'node:http';
import { expiryOf, keyIdOf, ownerOf, projectOf, scopesOf, tenantOf, tokenOf, usedEvery } from './verify-keys.mjs';

const [count, used] = process.argv.slice(2).map(Number);
const keys = new Map();
const every = usedEvery(count, used);
for (let n = 0; n < count; n += 1) {
  // What is never shown needs no token of its own, only an entry.
  const digest = hash('sha256', n % every === 0 ? tokenOf(n) : `filler ${n}`, 'hex');
  const expiresAt = expiryOf(n);
  keys.set(digest, {
    keyId: keyIdOf(n),
    tenantId: tenantOf(n),
    projectId: projectOf(n),
    owner: ownerOf(n),
    scopes: scopesOf(n),
    expiresAt,
    expiresAtMs: expiresAt === null ? Infinity : Date.parse(expiresAt),
    revoked: false,
  });
}

function verify(token) {
  const key = keys.get(hash('sha256', token, 'hex'));
  if (key === undefined) return { valid: false, code: 'NOT_FOUND' };
  if (key.revoked) return { valid: false, code: 'REVOKED' };
  if (key.expiresAtMs <= Date.now()) return { valid: false, code: 'EXPIRED' };
  const { keyId, tenantId, projectId, owner, scopes, expiresAt } = key;
  return { valid: true, code: 'VALID', keyId, tenantId, projectId, owner, scopes, expiresAt };
}

const server = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const { token } = JSON.parse(Buffer.concat(chunks).toString());
    const answer = JSON.stringify(verify(token));
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(answer) });
    response.end(answer);
  });
});
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
process.on('disconnect', () => process.exit(0));
