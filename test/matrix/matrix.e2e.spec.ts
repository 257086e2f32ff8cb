import type { FastifyInstance } from 'fastify';
import { IdentityProvider } from '../../libs/platform/src/oidc/testing/identity-provider.js';
import { InProcessSteward } from '../../libs/testing/src/in-process-steward.js';
import { actorNames } from './actors.js';
import { outcomes, readExpectations, type Row } from './expectations.js';
import { HttpClient } from './http-client.js';
import { askRow, type Ground, type Judged } from './matrix.js';

/**
 * Every route x every actor x every relation, over real HTTP. What each cell must answer stands in expectations.csv, which
 * is written by hand from the design's rules and shares nothing with the policy table.
 */

const CELLS_MIN = 1_400;
const ROWS_AT_ONCE = 4;

const { columns, rows } = readExpectations();

/** Begins every row, so many at once, and answers what becomes of each. */
function askAll(ground: Ground): ReadonlyMap<Row, Promise<Judged[]>> {
  const lanes: Promise<unknown>[] = Array.from({ length: ROWS_AT_ONCE }, () => Promise.resolve());
  return new Map(
    rows.map((row, n) => {
      const answer = (lanes[n % ROWS_AT_ONCE] ?? Promise.resolve()).then(() => askRow(ground, row));
      lanes[n % ROWS_AT_ONCE] = answer.catch(() => undefined);
      return [row, answer];
    }),
  );
}

describe('the matrix', () => {
  let steward: InProcessSteward;
  let issuer: IdentityProvider;
  let client: HttpClient;
  let answers: ReadonlyMap<Row, Promise<Judged[]>>;
  beforeAll(async () => {
    issuer = await IdentityProvider.start();
    steward = await InProcessSteward.start({
      STEWARD_OIDC_ISSUERS: JSON.stringify([issuer.configured()]),
      STEWARD_AUTH_FAILURES_PER_MINUTE: '1000000',
    });
    client = new HttpClient(await steward.app.getUrl(), steward.tokens['root'] ?? '');
    const signIn = (sub: string): Promise<string> => issuer.sign({ ...issuer.claims(Date.now()), sub });
    answers = askAll({ client, signIn });
  });
  afterAll(async () => {
    await Promise.allSettled(answers.values());
    client.close();
    await steward.stop();
    await issuer.stop();
  });

  it('has a column for every actor, and enough cells that count', () => {
    expect(columns).toEqual(actorNames);
    const cells = rows.flatMap(({ expected }) => [...expected.values()]);
    expect(cells.filter((outcome) => outcome !== 'n/a').length).toBeGreaterThan(CELLS_MIN);
    expect(new Set(cells)).toEqual(new Set(outcomes));
  });

  it('asks about each route and relation once', () => {
    const names = rows.map(({ route, relation }) => `${route}, ${relation}`);
    expect(names.filter((name, n) => names.indexOf(name) !== n)).toEqual([]);
  });

  it('names every route of the OpenAPI document and every raw route', async () => {
    const known = new Set(rows.map(({ route }) => route.split(/[?#]/)[0]));
    const { paths } = (await client.made('GET', '/openapi.json')).body as { paths: Record<string, object> };
    const documented = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const served = [...documented, ...(await rawRoutes(client, steward.app.getHttpAdapter().getInstance()))];
    expect([...new Set(served)].filter((route) => !known.has(route))).toEqual([]);
    expect([...known].filter((route) => !served.includes(route ?? ''))).toEqual([]);
  });

  it.each(rows.map((row) => [row.route, row.relation, row] as const))('%s: %s', async (_route, _relation, row) => {
    const judged = (await answers.get(row)) ?? [];
    const wrong = judged
      .filter(({ expected, seen }) => expected !== seen)
      .map(({ actor, expected, seen, body }) => `${actor}: expected ${expected}, seen ${seen}, ${body}`);
    expect([`line ${row.line}, ${row.route}, ${row.relation}: ${row.rule}`, ...wrong]).toHaveLength(1);
  });
});

/** What the router knows, in the form of the OpenAPI document. A path tells its methods when it is asked with another. */
async function rawRoutes(client: HttpClient, fastify: FastifyInstance): Promise<string[]> {
  const paths = [...fastify.printRoutes({ commonPrefix: false }).matchAll(/── (\/\S*) \(/g)].map(
    ([, path]) => path ?? '',
  );
  const routes = [...new Set(paths)]
    // What stands below is the documentation's reader.
    .filter((path) => !path.includes('*') && !path.startsWith('/docs/'))
    .map(async (path) => {
      const { headers } = await client.call(null, 'OPTIONS', path.replaceAll(/:\w+/g, 'x'));
      const methods = String(headers['allow'] ?? '').split(', ');
      return methods.map((method) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`);
    });
  return (await Promise.all(routes)).flat().filter((route) => !/^(HEAD)? /.test(route));
}
