import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { errorCodes, eventTypes } from '#libs/contracts';

/** What a linter cannot see: documentation that matches the code, and a room for every file. */

const root = new URL('../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .trim()
  .split('\n')
  // A file that is deleted and not committed yet is still listed.
  .filter((path) => existsSync(new URL(path, root)));
const sources = files.filter((path) => /\.(ts|mjs|js)$/.test(path));

const errorTable = (): string =>
  Object.entries(errorCodes)
    .map(([code, { status, grpc, title }]) => `| \`${code}\` | ${status} | ${grpc} | ${title} |`)
    .join('\n');

describe('tidy', () => {
  it('docs/errors.md lists every error code with its status and meaning, and nothing else', () => {
    const [start, end] = ['<!-- codes:start -->', '<!-- codes:end -->'];
    const page = read('docs/errors.md');
    const generated = `${start}\n| code | HTTP | gRPC | meaning |\n|---|---|---|---|\n${errorTable()}\n${end}`;
    if (process.env['UPDATE_GOLDEN'] === '1') {
      const before = page.slice(0, page.indexOf(start));
      writeFileSync(new URL('docs/errors.md', root), before + generated + page.slice(page.indexOf(end) + end.length));
    }
    expect(read('docs/errors.md')).toContain(generated);
  });

  it('docs/events.md describes every event type', () => {
    const page = read('docs/events.md');
    const undescribed = Object.keys(eventTypes).filter((type) => !new RegExp(`\\b${type}\\b`).test(page));
    expect(undescribed).toEqual([]);
  });

  it('docs/architecture.md justifies every runtime dependency', () => {
    const { dependencies } = JSON.parse(read('package.json')) as { dependencies: Record<string, string> };
    const page = read('docs/architecture.md');
    expect(Object.keys(dependencies).filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
  });

  it('every route that the README shows exists in the OpenAPI document', () => {
    const { paths } = JSON.parse(read('docs/api/openapi.json')) as { paths: Record<string, unknown> };
    const known = Object.keys(paths).map((path) => new RegExp(`^${path.replaceAll(/\{[^}]+\}/g, '[^/]+')}$`));
    const shown = [...read('README.md').matchAll(/127\.0\.0\.1:8080(\/v1[^\s'"`]*)/g)].map(
      ([, path]) => path as string,
    );
    expect(shown.length).toBeGreaterThan(3);
    expect(shown.filter((path) => !known.some((pattern) => pattern.test(path)))).toEqual([]);
  });

  it('the README describes every variable that the program reads', () => {
    const names = [...read('libs/platform/src/config/config.ts').matchAll(/'(STEWARD_[A-Z_]+)'/g)].map(
      ([, name]) => name,
    );
    const page = read('README.md');
    expect(names.length).toBeGreaterThan(10);
    expect(names.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
  });

  it('every npm script that the documentation names exists', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const pages = files.filter((path) => path.endsWith('.md'));
    const missing = pages.flatMap((page) =>
      [...read(page).matchAll(/npm run (?:--silent )?([a-z][a-z0-9:-]*)/g)]
        .map(([, name]) => name as string)
        .filter((name) => scripts[name] === undefined)
        .map((name) => `${page}: npm run ${name}`),
    );
    expect(missing).toEqual([]);
  });

  it('every link between pages leads to a file', () => {
    const broken = files
      .filter((path) => path.endsWith('.md'))
      .flatMap((page) =>
        [...read(page).matchAll(/\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)/g)]
          .map(([, target]) => new URL(target as string, new URL(page, root)))
          .filter((target) => !existsSync(target))
          .map((target) => `${page}: ${target.pathname}`),
      );
    expect(broken).toEqual([]);
  });

  it('no file is without a room', () => {
    const rooms = [
      /^(services|libs)\/[a-z-]+\/(src|proto|web)\//,
      /^test\/(contract|deploy|e2e|fault|fuzz|matrix|simulation|golden|bench)\//,
      /^test\/tidy\.spec\.ts$/,
      /^(docs|deploy|examples|scripts|\.ci)\//,
      /^[^/]+$/,
    ];
    expect(files.filter((path) => !rooms.some((room) => room.test(path)))).toEqual([]);
  });

  it('there is one barrel per library and none elsewhere', () => {
    const barrels = sources.filter((path) => /(^|\/)index\.ts$/.test(path));
    expect(barrels.filter((path) => !/^libs\/[a-z-]+\/src\/index\.ts$/.test(path))).toEqual([]);
  });

  it('no test is focused or silenced, and nothing is left for later in a comment', () => {
    const forbidden =
      /\b(?:it|test|describe)\.(?:only|todo)\b|\b[xf](?:it|describe)\(|\/\/.*\b(?:TODO|FIXME|HACK|XXX)\b/;
    expect(sources.filter((path) => path !== 'test/tidy.spec.ts' && forbidden.test(read(path)))).toEqual([]);
  });

  it('no source file is longer than 400 lines, whatever stands on them', () => {
    const long = sources.filter((path) => read(path).split('\n').length - 1 > 400);
    expect(long).toEqual([]);
  });

  it('no file has a name that says nothing', () => {
    expect(sources.filter((path) => /(^|\/)(utils?|helpers?|common|shared|misc)(\.|\/)/.test(path))).toEqual([]);
  });
});
