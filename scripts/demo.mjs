// Fills a running Steward over its public HTTP interface from examples/platform.json.
// Every write is a PUT or bears an Idempotency-Key made from what it writes, so running it twice changes nothing.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const USAGE = 'npm run demo -- [--url http://127.0.0.1:8080] [--key-file data/bootstrap-admin.key] [--size 1]';

function readOptions() {
  const options = {
    url: { type: 'string', default: `http://127.0.0.1:${process.env.STEWARD_PORT || 8080}` },
    'key-file': { type: 'string', default: join(process.env.STEWARD_DATA_DIR || 'data', 'bootstrap-admin.key') },
    size: { type: 'string', default: '1' },
    help: { type: 'boolean', default: false },
  };
  try {
    return parseArgs({ options }).values;
  } catch {
    return quit(USAGE, 64);
  }
}

const values = readOptions();
const CONCURRENCY = 16;
const SIZE_MAX = 1000;
const ATTEMPTS_MAX = 5;

function quit(message, code = 1) {
  console.error(message);
  process.exit(code);
}

if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
const size = Number(values.size);
if (!Number.isInteger(size) || size < 1 || size > SIZE_MAX) quit(`--size must be an integer from 1 to ${SIZE_MAX}.`);

let token;
try {
  token = readFileSync(values['key-file'], 'utf8').trim();
} catch {
  quit(`The key file ${values['key-file']} cannot be read. Start Steward first, or name another with --key-file.`);
}

const platform = JSON.parse(readFileSync(new URL('../examples/platform.json', import.meta.url), 'utf8'));

/** One call; repeated while the answer is 503, which changes nothing thanks to the Idempotency-Key. */
async function call(method, path, body) {
  for (let attempt = 1; ; attempt += 1) {
    const response = await fetch(values.url + path, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        'idempotency-key': encodeURIComponent(`demo${path}/${body.name ?? ''}`).slice(0, 255),
      },
      body: JSON.stringify(body),
    });
    if (response.ok) return response.json();
    const problem = await response.json();
    if (response.status !== 503 || attempt === ATTEMPTS_MAX)
      throw new Error(`${method} ${path}: ${response.status} ${problem.code}: ${problem.detail}`);
    await new Promise((resolve) => setTimeout(resolve, 1000 * Number(response.headers.get('retry-after') ?? 1)));
  }
}

const suffixed = (id, copy) => (copy === 0 ? id : `${id}-${copy + 1}`);

/** Five rounds, each only of calls that depend on the rounds before. */
function rounds() {
  const [tenants, projects, members, access, keys] = [[], [], [], [], []];
  for (let copy = 0; copy < size; copy += 1)
    for (const tenant of platform.tenants) {
      const tenantId = suffixed(tenant.id, copy);
      tenants.push(async () => {
        await call('POST', '/v1/tenants', { id: tenantId, name: tenant.name });
        if (tenant.keyPolicy) await call('PUT', `/v1/tenants/${tenantId}/key-policy`, tenant.keyPolicy);
      });
      for (const project of tenant.projects) {
        const projectId = suffixed(project.id, copy);
        projects.push(() => call('POST', `/v1/tenants/${tenantId}/projects`, { id: projectId, name: project.name }));
        for (const { userId, role, displayName, email, services, keys: owned } of project.members) {
          members.push(() => call('PUT', `/v1/projects/${projectId}/members/${userId}`, { role, displayName, email }));
          for (const service of services)
            access.push(() => call('PUT', `/v1/projects/${projectId}/members/${userId}/services/${service}`, {}));
          for (const [n, key] of owned.entries())
            keys.push(() =>
              call('POST', `/v1/projects/${projectId}/keys`, {
                ...key,
                name: `${userId} ${key.name} ${n + 1}`,
                owner: { type: 'user', id: userId },
              }),
            );
        }
      }
    }
  return { tenants, projects, members, access, keys };
}

function progress(done, total, what) {
  if (!process.stdout.isTTY && done !== total) return;
  const filled = Math.round((30 * done) / total);
  const bar = '#'.repeat(filled).padEnd(30, '.');
  process.stdout.write(`${process.stdout.isTTY ? '\r' : ''}[${bar}] ${done}/${total} ${what.padEnd(10)}`);
  if (done === total || !process.stdout.isTTY) process.stdout.write('\n');
}

async function runAll(what, calls) {
  let next = 0;
  let done = 0;
  const worker = async () => {
    while (next < calls.length) {
      await calls[next++]();
      progress(++done, calls.length, what);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
}

const startedMs = performance.now();
try {
  for (const [what, calls] of Object.entries(rounds())) await runAll(what, calls);
  console.log(`Done in ${((performance.now() - startedMs) / 1000).toFixed(1)} s. Run it again: nothing changes.`);
} catch (error) {
  const cause = error.cause?.code === 'ECONNREFUSED' ? `Nothing listens at ${values.url}. Start Steward first.` : '';
  quit(`\n${cause || error.message}`);
}
