// Makes the passwords of the compose files, once: `node deploy/make-secrets.mjs [folder]`. What stands is left as it is.
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = process.argv[2] ?? fileURLToPath(new URL('./secrets', import.meta.url));
const PASSWORD_BYTES = 24;
const INTERNAL_KEY_BYTES = 48;

/** Compose mounts the file with its mode, for users of the container's own numbers; what guards it here is the folder. */
function keep(name, make) {
  const path = join(folder, name);
  if (!existsSync(path)) {
    writeFileSync(path, make(), { mode: 0o600, flag: 'wx' });
    chmodSync(path, 0o444);
  }
  return readFileSync(path, 'utf8');
}

const password = () => randomBytes(PASSWORD_BYTES).toString('base64url');

mkdirSync(folder, { recursive: true, mode: 0o700 });
keep('postgres-password', password);
keep('postgres-replication-password', password);
keep('internal-key', () => randomBytes(INTERNAL_KEY_BYTES).toString('base64url'));
for (const role of ['owner', 'program']) {
  const secret = keep(`postgres-${role}-password`, password);
  keep(`database-url-${role}`, () => `postgres://steward_${role}:${secret}@postgres:5432/steward`);
}
console.log(`The secrets stand in ${folder}.`);
