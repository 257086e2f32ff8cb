import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { loadConfig } from '#libs/platform';
import { imageEnvironment, instructions, restsOf, root } from './dockerfile.js';

const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');
const manifest = JSON.parse(read('package.json')) as {
  readonly scripts: Record<string, string>;
  readonly engines: { readonly node: string };
};
const MAIN = 'dist/services/steward/src/main.js';

describe('The image', () => {
  it('is built by a Node that the program supports, and runs on the same', () => {
    const [, tag = ''] = /^NODE_IMAGE=node:([\d.]+)-/.exec(restsOf('ARG')[0] ?? '') ?? [];
    const number = (version: string): number =>
      version.split('.').reduce((sum, part, n) => sum + Number(part) * 1_000 ** (2 - n), 0);
    expect(number(tag)).toBeGreaterThanOrEqual(number(manifest.engines.node.replace('>=', '')));
    for (const base of restsOf('FROM')) expect(base).toMatch(/^\$\{NODE_IMAGE\}( AS [a-z]+)?$/);
  });

  it('uses no argument that it does not declare', () => {
    const declared = restsOf('ARG').map((rest) => rest.split('=')[0]);
    const used = instructions().flatMap(([, rest]) => [...rest.matchAll(/\$\{?(\w+)/g)].map(([, name]) => name));
    expect(used.filter((name) => !declared.includes(name))).toEqual([]);
  });

  it('copies only what is there and what .dockerignore lets through, which lists what it lets through', () => {
    const [first, ...patterns] = read('.dockerignore')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    expect(first).toBe('*');
    const letThrough = patterns.filter((pattern) => pattern.startsWith('!')).map((pattern) => pattern.slice(1));
    const copied = restsOf('COPY')
      .filter((rest) => !rest.startsWith('--from='))
      .flatMap((rest) => rest.split(/\s+/).slice(0, -1));
    expect([...new Set(copied)].sort()).toEqual(letThrough.sort());
    expect(letThrough.filter((path) => !existsSync(new URL(path, root)))).toEqual([]);
  });

  it('takes from its earlier stages what they have made', () => {
    const stages = restsOf('FROM').map((rest) => rest.split(' AS ')[1]);
    const made: Record<string, readonly string[]> = {
      build: ['/build/dist'],
      packages: ['/packages/node_modules'],
    };
    for (const [, stage = '', path] of restsOf('COPY').flatMap((rest) => [...rest.matchAll(/--from=(\w+) (\S+)/g)])) {
      expect(stages).toContain(stage);
      expect(made[stage]).toContain(path);
    }
  });

  it('runs what `npm start` runs, by a script that exists', () => {
    const words = [...restsOf('ENTRYPOINT'), ...restsOf('CMD')].map((rest) => JSON.parse(rest) as unknown);
    expect(words).toEqual([['node'], [MAIN]]);
    expect(manifest.scripts['start']).toContain(MAIN);
    expect(existsSync(new URL(MAIN.replace('dist/', '').replace('.js', '.ts'), root))).toBe(true);
    const scripts = restsOf('RUN').flatMap((rest) => [...rest.matchAll(/npm run (\S+)/g)].map(([, name = '']) => name));
    expect(scripts.map((name) => manifest.scripts[name])).toEqual(['node scripts/build.mjs']);
  });

  it('says nothing that this release does not understand, and exposes the ports where it listens', () => {
    const { host, port, grpcPort, warnings } = loadConfig(imageEnvironment());
    expect(warnings).toEqual([]);
    expect(host).toBe('0.0.0.0');
    expect(restsOf('EXPOSE')).toEqual([`${port} ${grpcPort}`]);
    expect({ port, grpcPort }).toEqual({ port: loadConfig({}).port, grpcPort: loadConfig({}).grpcPort });
  });

  it('runs as a user that is seen not to be root', () => {
    const names = instructions().map(([name]) => name);
    expect(restsOf('USER')).toEqual(['1000:1000']);
    expect(names.indexOf('USER')).toBeGreaterThan(names.lastIndexOf('RUN'));
  });
});

describe('The health check', () => {
  const script = fileURLToPath(new URL('deploy/health.mjs', root));
  const exitCode = async (port: number, path: string): Promise<unknown> => {
    const check = spawn(process.execPath, [script, path], { env: { STEWARD_PORT: String(port) }, stdio: 'ignore' });
    const [code] = (await once(check, 'exit')) as [unknown];
    return code;
  };

  it('asks for routes that Steward has', () => {
    const { paths } = JSON.parse(read('docs/api/openapi.json')) as { paths: Record<string, unknown> };
    const asked = [
      ...`${read('deploy/Dockerfile')}${read('deploy/server.yaml')}`.matchAll(/health\.mjs"?, "?(\/\w+)/g),
    ];
    expect(asked.map(([, path]) => path)).toEqual(['/healthz', '/readyz']);
    for (const [, path = ''] of asked) expect(paths).toHaveProperty([path]);
  });

  it('succeeds on 200, and fails on 503 and where nothing listens', async () => {
    const server = createServer((request, response) => {
      response.writeHead(request.url === '/healthz' ? 200 : 503).end();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    try {
      expect(await Promise.all([exitCode(port, '/healthz'), exitCode(port, '/readyz')])).toEqual([0, 1]);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
    expect(await exitCode(port, '/healthz')).toBe(1);
  });
});
