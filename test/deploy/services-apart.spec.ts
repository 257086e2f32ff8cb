import { existsSync, readFileSync, rmSync } from 'node:fs';
import { BlockList } from 'node:net';
import type { AppConfig, Program } from '#libs/platform';
import { auditProgram } from '../../services/audit/src/audit.program.js';
import { runSteward } from '../../services/cli/src/program.js';
import { keysProgram } from '../../services/keys/src/keys.program.js';
import { projectorProgram } from '../../services/projector/src/projector.program.js';
import { quotasProgram } from '../../services/quotas/src/quotas.program.js';
import { tenancyProgram } from '../../services/tenancy/src/tenancy.program.js';
import {
  attachmentsOf,
  composition,
  configIn,
  environmentOf,
  makeSecrets,
  mountsOf,
  nodesOf,
  programOf,
  type Service,
  serviceOf,
} from './compose-files.js';
import { root } from './dockerfile.js';
import { frontConfig, targets } from './front-config.js';

const composed = composition('server.yaml', 'services-apart.yaml');
const programs: Record<string, Program> = {
  keys: keysProgram,
  quotas: quotasProgram,
  tenancy: tenancyProgram,
  audit: auditProgram,
  projector: projectorProgram,
};
const replicasOf = (program: string): [string, Service][] =>
  nodesOf(composed, 'steward').filter(([, service]) => programOf(service) === program);
const apart = Object.keys(programs).flatMap(replicasOf);
const withApi = apart.filter(([, service]) => programOf(service) !== 'projector');
const mountedBy = (source: string): string[] =>
  Object.entries(composed.services)
    .filter(([, service]) => mountsOf(service).some((mount) => mount.source === source))
    .map(([name]) => name)
    .sort();
const holding = (secret: string): string[] =>
  Object.entries(composed.services)
    .filter(([, { secrets = [] }]) => secrets.includes(secret))
    .map(([name]) => name)
    .sort();
const namesOf = (some: readonly [string, Service][]): string[] => some.map(([name]) => name).sort();
const keys = namesOf(replicasOf('keys'));

describe('Services apart', () => {
  let secretsFolder: string;
  const configOf = (name: string): AppConfig => configIn(composed, name, secretsFolder);

  beforeAll(() => {
    secretsFolder = makeSecrets();
  });
  afterAll(() => {
    rmSync(secretsFolder, { recursive: true, force: true });
  });

  it('are all programs of the build, two replicas of each, and all in one rests', () => {
    const { scripts } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as {
      readonly scripts: Record<string, string>;
    };
    for (const program of Object.keys(programs)) {
      const count = replicasOf(program).reduce((sum, [, { deploy }]) => sum + (deploy?.replicas ?? 1), 0);
      expect([program, count]).toEqual([program, 2]);
      expect(existsSync(new URL(`services/${program}/src/main.ts`, root))).toBe(true);
      expect(scripts[`start:${program}`]).toContain(`dist/services/${program}/src/main.js`);
    }
    expect(Object.keys(scripts).filter((name) => name.startsWith('start:')).length).toBe(Object.keys(programs).length);
    for (const [, { command = [] }] of apart) expect(command.length).toBe(1);
    expect(composed.services).not.toHaveProperty('steward');
  });

  it('begin after the store was founded, by a command that the command line has', async () => {
    for (const [, { depends_on: needed }] of apart) expect(needed).toHaveProperty('bootstrap');
    const [main, ...words] = serviceOf(composed, 'bootstrap').command ?? [];
    expect(main).toBe('dist/services/cli/src/main.js');
    const printed: string[] = [];
    const code = await runSteward([...words, '--help'], {
      env: {},
      print: (text) => printed.push(text),
      tell: (text) => printed.push(text),
      rewrites: false,
      isAttended: false,
      signal: new AbortController().signal,
    });
    expect({ code, printed: printed.join() }).toEqual({
      code: 0,
      printed: expect.stringContaining('Usage: steward admin bootstrap') as string,
    });
  });

  it('are told all that they need to start, and no more', () => {
    for (const [name, service] of apart) {
      const variables = Object.keys(environmentOf(service)).map((one) => one.replace(/_URL_FILE$/, '_URL'));
      const { needs } = programs[programOf(service)] as Program;
      expect([name, needs.filter((one) => !variables.includes(one))]).toEqual([name, []]);
      const [addresses, key] = [/_GRPC_URL$/, /INTERNAL_KEY/];
      const told = variables.filter((one) => addresses.test(one) || key.test(one));
      expect([name, told.filter((one) => !(needs as readonly string[]).includes(one))]).toEqual([name, []]);
    }
  });

  it('keep the peppers where keys are verified, and the owner and the files where the store is founded', () => {
    expect(mountedBy('steward-pepper')).toEqual(['bootstrap', ...keys]);
    expect(mountedBy('steward-keys')).toEqual(['bootstrap', ...namesOf(apart)].sort());
    expect(mountedBy('steward')).toEqual(['bootstrap']);
    expect(holding('internal-key')).toEqual(namesOf(withApi));
    expect(holding('database-url-owner')).toEqual(['bootstrap']);
    const { kekFile, pepperFile } = configOf('bootstrap');
    for (const [name, service] of apart) {
      expect(mountsOf(service).filter(({ isReadOnly }) => !isReadOnly)).toEqual([]);
      expect(configOf(name).kekFile).toBe(kekFile);
      expect([name, configOf(name).pepperFile === pepperFile]).toEqual([name, keys.includes(name)]);
    }
    for (const { source, target } of mountsOf(serviceOf(composed, 'bootstrap')))
      expect([source, pepperFile?.startsWith(`${target}/`)]).toEqual([source, source === 'steward-pepper']);
  });

  it('are told of every replica that they ask, at the port where it listens', () => {
    const quotas = replicasOf('quotas');
    for (const [name, service] of withApi) {
      const { keysGrpcUrls, quotasGrpcUrls, quotasPeers } = configOf(name);
      const at = (names: readonly string[]): string[] => names.map((one) => `${one}:${configOf(one).grpcPort}`);
      const program = programOf(service);
      expect([name, keysGrpcUrls]).toEqual([name, program === 'keys' ? [] : at(keys)]);
      expect([name, quotasGrpcUrls]).toEqual([name, program === 'tenancy' ? at(namesOf(quotas)) : []]);
      const others = namesOf(quotas).filter((one) => one !== name);
      expect([name, quotasPeers]).toEqual([
        name,
        program === 'quotas' ? { own: at([name])[0], others: at(others) } : undefined,
      ]);
      for (const other of [...keys, ...namesOf(quotas)])
        expect(attachmentsOf(serviceOf(composed, other))).toHaveProperty('services');
    }
  });

  it('are found by the front under the names and ports of its configuration, each name by all its replicas', () => {
    const front = serviceOf(composed, 'front');
    expect(Object.keys(attachmentsOf(front)).sort()).toEqual(['callers', 'services']);
    expect(targets).toEqual(['audit', 'keys', 'quotas', 'tenancy']);
    for (const program of targets)
      for (const [name, service] of replicasOf(program)) {
        const { aliases = [] } = attachmentsOf(service)['services'] ?? {};
        expect([name, ...aliases]).toContain(program);
        const { port, grpcPort, host } = configOf(name);
        expect(host).toBe('0.0.0.0');
        expect(frontConfig.split(`proxy_pass http://$service:${port};`).length).toBe(3);
        expect(frontConfig).toContain(`grpc_pass grpc://$rpc_service:${grpcPort};`);
      }
  });

  it('the front runs the configuration that is tried, without root, and reads it where it is mounted', () => {
    const { command = [], ...front } = serviceOf(composed, 'front');
    expect(front).toMatchObject({ user: '101:101', read_only: true, cap_drop: ['ALL'] });
    const mounts = mountsOf(front);
    expect(mounts.every(({ isReadOnly }) => isReadOnly)).toBe(true);
    const targetOf = (source: string): string => mounts.find((mount) => mount.source === source)?.target ?? '';
    expect(command[command.indexOf('-c') + 1]).toBe(targetOf('./front.conf'));
    expect(frontConfig).toContain(`alias ${targetOf('../docs/api/openapi.json')};`);
    // On a root that is only read, all that nginx writes goes to the mount that is in memory.
    const written = [...frontConfig.matchAll(/^\s*(?:pid|\w+_temp_path) (\S+);/gm)].map(([, path]) => path ?? '');
    expect(written.length).toBe(6);
    for (const path of written) expect(path).toMatch(/^[\w.]+$/);
    expect(front.tmpfs?.map((mount) => mount.split(':')[0])).toEqual([command[command.indexOf('-p') + 1]]);
  });

  it('believe the front and nobody else what it says of callers', () => {
    const { ipv4_address: address = '' } = attachmentsOf(serviceOf(composed, 'front'))['services'] ?? {};
    for (const [name] of withApi) expect([name, configOf(name).trustedProxies]).toEqual([name, [`${address}/32`]]);
    const [pool] = composed.networks['services']?.ipam?.config ?? [];
    const within = (range = ''): boolean => {
      const [network = '', prefix] = range.split('/');
      const list = new BlockList();
      list.addSubnet(network, Number(prefix));
      return list.check(address);
    };
    // Outside of what the engine gives to others.
    expect([within(pool?.subnet), within(pool?.ip_range)]).toEqual([true, false]);
  });

  it('the projector, which serves nobody, is reached by nobody', () => {
    for (const [, service] of replicasOf('projector')) expect(service.networks).toEqual(['engines']);
  });
});
