import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventTypes, principalStream, tenantStream } from '#libs/contracts';
import {
  Codec,
  type CommandContext,
  FixedClock,
  type Ledger,
  MemoryDataKeys,
  MemoryEventStore,
  runCommand,
} from '#libs/eventsourcing';
import { BootstrapKeys } from '#libs/platform';
import { AdminBootstrap, BOOTSTRAP_ADMIN } from './bootstrap.js';
import { principalDecider } from './domain/principal.js';
import { tenantDecider } from './domain/tenant.js';

class CountedKeys extends BootstrapKeys {
  readonly issued: { principalId: string; context: CommandContext }[] = [];
  fail = false;

  issue(principalId: string, context: CommandContext): Promise<string> {
    if (this.fail) return Promise.reject(new Error('killed'));
    this.issued.push({ principalId, context });
    return Promise.resolve(`token-${this.issued.length}`);
  }
}

let dataDir: string;
let ledger: Ledger;
let keys: CountedKeys;
let bootstrap: AdminBootstrap;
let printed: string[];
const print = (text: string): void => void printed.push(text);

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'steward-test-'));
  const clock = new FixedClock();
  const codec = new Codec(eventTypes, new MemoryDataKeys());
  ledger = { store: new MemoryEventStore(clock), codec, clock, onAppended: () => Promise.resolve() };
  keys = new CountedKeys();
  bootstrap = new AdminBootstrap(ledger, keys, { dataDir });
  printed = [];
});

afterEach(() => rm(dataDir, { recursive: true, force: true }));

const events = async (id: string) =>
  (await ledger.store.readStream(principalStream(id))).map((stored) => ledger.codec.decode(stored));

const context = (n: number): CommandContext => ({
  commandId: `00000000-0000-4000-8000-00000000000${n}`,
  correlationId: `00000000-0000-4000-8000-00000000000${n}`,
  causationId: null,
  requestHash: null,
  actor: { type: 'service', id: 'somebody', via: 'internal' },
  actorPart: null,
});

const onPrincipal = (n: number, command: Parameters<typeof principalDecider.decide>[0]) =>
  runCommand(ledger, {
    stream: principalStream(BOOTSTRAP_ADMIN),
    decider: principalDecider,
    command,
    scope: { tenantId: null, projectId: null },
    context: context(n),
  });

describe('the first start', () => {
  it('registers the administrator, prints its key once and keeps it in a file of its own', async () => {
    expect(await bootstrap.ensureBootstrap(print)).toBe(true);
    expect(await events(BOOTSTRAP_ADMIN)).toMatchObject([
      {
        type: 'PrincipalRegistered',
        data: { type: 'service', role: 'platform_admin' },
        tenantId: null,
        actor: { type: 'system', id: 'bootstrap', via: 'internal' },
      },
    ]);
    expect(keys.issued).toMatchObject([{ principalId: BOOTSTRAP_ADMIN, context: { actor: { id: 'bootstrap' } } }]);
    expect(printed.join('').match(/token-1/g)).toHaveLength(1);
    const file = join(dataDir, 'bootstrap-admin.key');
    expect(await readFile(file, 'utf8')).toBe('token-1\n');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readdir(dataDir)).toEqual(['bootstrap-admin.key']);

    expect(await bootstrap.ensureBootstrap(print)).toBe(false);
    expect(keys.issued).toHaveLength(1);
  });

  it('belongs to one chain of commands, each with an id of its own', async () => {
    await bootstrap.ensureBootstrap(print);
    const [registered] = await events(BOOTSTRAP_ADMIN);
    const issued = keys.issued[0]?.context;
    expect(issued?.correlationId).toBe(registered?.commandId);
    expect(issued?.commandId).not.toBe(registered?.commandId);
  });

  it('shows a new key at the next start if it was killed before the key was shown', async () => {
    keys.fail = true;
    await expect(bootstrap.ensureBootstrap(print)).rejects.toThrow('killed');
    keys.fail = false;
    expect(await bootstrap.ensureBootstrap(print)).toBe(true);
    expect(printed.join('')).toContain('token-1');
    expect(await events(BOOTSTRAP_ADMIN)).toHaveLength(1);
  });

  it('shows a new key if it was killed between the file and the terminal', async () => {
    const killed = (): void => {
      throw new Error('killed');
    };
    await expect(bootstrap.ensureBootstrap(killed)).rejects.toThrow('killed');
    expect(await bootstrap.ensureBootstrap(print)).toBe(true);
    expect(await readFile(join(dataDir, 'bootstrap-admin.key'), 'utf8')).toBe('token-2\n');
  });

  it('does not make a key anew because its file was put away', async () => {
    await bootstrap.ensureBootstrap(print);
    await rm(join(dataDir, 'bootstrap-admin.key'));
    expect(await bootstrap.ensureBootstrap(print)).toBe(false);
  });

  it('leaves a store alone that holds events already', async () => {
    await runCommand(ledger, {
      stream: tenantStream('acme'),
      decider: tenantDecider,
      command: { type: 'CreateTenant', name: 'Acme' },
      scope: { tenantId: 'acme', projectId: null },
      context: context(1),
    });
    expect(await bootstrap.ensureBootstrap(print)).toBe(false);
    expect(await events(BOOTSTRAP_ADMIN)).toEqual([]);
    expect(await readdir(dataDir)).toEqual([]);
  });

  it('shows one key where two processes start at once on one empty database', async () => {
    const otherDir = await mkdtemp(join(tmpdir(), 'steward-test-'));
    try {
      const other = new AdminBootstrap(ledger, keys, { dataDir: otherDir });
      const shown = await Promise.all([bootstrap.ensureBootstrap(print), other.ensureBootstrap(print)]);
      expect(shown.filter(Boolean)).toHaveLength(1);
      expect(keys.issued).toHaveLength(1);
      expect([...(await readdir(dataDir)), ...(await readdir(otherDir))]).toEqual(['bootstrap-admin.key']);
    } finally {
      await rm(otherDir, { recursive: true, force: true });
    }
  });
});

describe('recovery', () => {
  const put = { type: 'PutPrincipal', principalType: 'service', tenantId: null, otherAdmins: 1 } as const;

  it('makes another key of the standing administrator, and the key bears the actor', async () => {
    await bootstrap.ensureBootstrap(print);
    expect(await bootstrap.recover(print)).toBe(BOOTSTRAP_ADMIN);
    expect(keys.issued[1]).toMatchObject({ principalId: BOOTSTRAP_ADMIN, context: { actor: { id: 'recovery' } } });
    expect(await readFile(join(dataDir, 'bootstrap-admin.key'), 'utf8')).toBe('token-2\n');
    expect(await events(BOOTSTRAP_ADMIN)).toHaveLength(1);
  });

  it('makes a demoted administrator one again, and says so in the ledger', async () => {
    await bootstrap.ensureBootstrap(print);
    await onPrincipal(1, { ...put, role: 'auditor' });
    expect(await bootstrap.recover(print)).toBe(BOOTSTRAP_ADMIN);
    expect((await events(BOOTSTRAP_ADMIN)).at(-1)).toMatchObject({
      type: 'PrincipalRoleChanged',
      data: { from: 'auditor', to: 'platform_admin' },
      actor: { type: 'system', id: 'recovery' },
    });
  });

  it('registers a new administrator where the first one was removed, for its id is not used again', async () => {
    await bootstrap.ensureBootstrap(print);
    await onPrincipal(1, { type: 'RemovePrincipal', otherAdmins: 1 });
    expect(await bootstrap.recover(print)).toBe('recovery-admin-1');
    expect(await events('recovery-admin-1')).toMatchObject([
      { type: 'PrincipalRegistered', actor: { id: 'recovery' }, data: { role: 'platform_admin' } },
    ]);
  });
});
