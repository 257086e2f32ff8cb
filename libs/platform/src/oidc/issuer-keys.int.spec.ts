import type { ServerResponse } from 'node:http';
import { decodeProtectedHeader } from 'jose';
import { Refusal } from '#libs/eventsourcing';
import { IssuerKeys } from './issuer-keys.js';
import { IdentityProvider } from './testing/identity-provider.js';

const SECOND_MS = 1_000;
const HOUR_MS = 3_600 * SECOND_MS;

/** An issuer, what Steward knows of its keys, and a monotonic time that only the test moves. */
async function setUp(more: { jwksUri?: string | null } = {}) {
  const provider = await IdentityProvider.start();
  let nowMs = 0;
  const failures: string[] = [];
  const keys = new IssuerKeys(
    { issuer: provider.issuer, jwksUri: more.jwksUri === undefined ? provider.jwksUri : more.jwksUri },
    { onFailure: ({ message }) => failures.push(message), monotonicMs: () => nowMs },
  );
  const find = async (kid: string): Promise<string> => {
    try {
      await keys.find({ alg: 'ES256', kid }, { payload: '', signature: '' });
      return 'found';
    } catch (error) {
      return error instanceof Refusal ? error.code : (error as { code: string }).code;
    }
  };
  const pass = (ms: number): void => {
    nowMs += ms;
  };
  return { provider, keys, failures, find, pass };
}

type World = Awaited<ReturnType<typeof setUp>>;

describe('the keys of an issuer', () => {
  let world: World;
  beforeEach(async () => {
    world = await setUp();
  });
  afterEach(async () => {
    await world.provider.stop();
  });

  const down = (): void => {
    world.provider.misbehaviour = ({ socket }) => socket.destroy();
  };

  it('are fetched when the first token comes, once for all who wait, and serve for ten minutes', async () => {
    const { provider, find, pass } = world;
    expect(provider.fetches).toBe(0);
    expect(await Promise.all(Array.from({ length: 50 }, () => find('first')))).toEqual(Array(50).fill('found'));
    pass(599 * SECOND_MS);
    expect(await find('first')).toBe('found');
    expect(provider.fetches).toBe(1);
    pass(2 * SECOND_MS);
    expect(await find('first')).toBe('found');
    expect(provider.fetches).toBe(2);
  });

  it('are fetched at most once in 30 s under 10,000 unknown key ids', async () => {
    const { provider, find, pass } = world;
    expect(await find('first')).toBe('found');
    pass(31 * SECOND_MS);
    const answers = new Set<string>();
    for (let n = 0; n < 10_000; n += 100)
      for (const answer of await Promise.all(Array.from({ length: 100 }, (_, m) => find(`kid-${n + m}`))))
        answers.add(answer);
    expect([...answers]).toEqual(['ERR_JWKS_NO_MATCHING_KEY']);
    expect(provider.fetches).toBe(2);
    pass(31 * SECOND_MS);
    await find('kid-x');
    expect(provider.fetches).toBe(3);
  });

  it('of a rotation are known with the first token that bears them, and those withdrawn are not', async () => {
    const { provider, find, pass } = world;
    await find('first');
    provider.published = [];
    await provider.publish('second', 'ES256');
    pass(31 * SECOND_MS);
    expect(await find('second')).toBe('found');
    expect(await find('first')).toBe('ERR_JWKS_NO_MATCHING_KEY');
  });

  it('serve for 24 hours while the issuer is away, at two attempts a minute, and then no more', async () => {
    const { provider, find, pass, failures } = world;
    await find('first');
    down();
    pass(11 * 60 * SECOND_MS);
    const before = provider.asked.length;
    for (let second = 0; second < 60; second += 1) {
      expect(await find('first')).toBe('found');
      expect(await find('unknown')).toBe('ERR_JWKS_NO_MATCHING_KEY');
      pass(SECOND_MS);
    }
    expect(provider.asked.length - before).toBe(2);
    expect(failures).toHaveLength(2);
    pass(23 * HOUR_MS);
    expect(await find('first')).toBe('found');
    pass(HOUR_MS);
    expect(await find('first')).toBe('ISSUER_UNAVAILABLE');
    provider.misbehaviour = undefined;
    pass(31 * SECOND_MS);
    expect(await find('first')).toBe('found');
  });

  it('that were never known are 503 with the time to the next attempt', async () => {
    const { provider, keys, find, pass } = world;
    down();
    expect(await find('first')).toBe('ISSUER_UNAVAILABLE');
    pass(10 * SECOND_MS);
    const attempt = keys.find({ alg: 'ES256', kid: 'first' }, { payload: '', signature: '' });
    await expect(attempt).rejects.toMatchObject({ extra: { retryAfterSeconds: 20 } });
    expect(provider.asked).toHaveLength(1);
  });

  const misbehaviours: [string, (response: ServerResponse) => void, RegExp][] = [
    ['a redirect', (response) => response.writeHead(302, { location: '/elsewhere' }).end(), /redirect/],
    ['an error page', (response) => response.writeHead(500).end('<html>'), /\/jwks answered 500/],
    ['what is no JSON', (response) => response.end('<html>'), /is no JSON$/],
    ['JSON that is no key set', (response) => response.end('{"keys":"none"}'), /malformed/],
    ['JSON that is no object', (response) => response.end('null'), /no JSON object/],
    ['more than 256 KiB', (response) => response.end(`{"x":"${'x'.repeat(300_000)}"}`), /too large/],
  ];

  it.each(misbehaviours)('are not taken from %s', async (_, misbehave, reason) => {
    const { provider, find, failures } = world;
    provider.misbehaviour = (_request, response) => {
      misbehave(response);
    };
    expect(await find('first')).toBe('ISSUER_UNAVAILABLE');
    expect(failures).toEqual([expect.stringMatching(reason)]);
    expect(provider.asked).toEqual(['/jwks']);
  });

  it('are given up on after 3 s where they trickle in', async () => {
    const { provider, find, failures } = world;
    provider.misbehaviour = (_request, response) => {
      const timer = setInterval(() => response.write(' '), 100);
      response.on('close', () => {
        clearInterval(timer);
      });
    };
    const startedMs = performance.now();
    expect(await find('first')).toBe('ISSUER_UNAVAILABLE');
    expect(performance.now() - startedMs).toBeLessThan(15_000);
    expect(failures).toEqual([expect.stringMatching(/Timeout/)]);
  });

  it('are never fetched from where a token says', async () => {
    const { provider, keys } = world;
    const token = await provider.sign(provider.claims(0), {
      jku: `${provider.issuer}/evil`,
      x5u: `${provider.issuer}/x`,
    });
    await keys.find({ ...decodeProtectedHeader(token), alg: 'ES256' }, { payload: '', signature: '' });
    expect(provider.asked).toEqual(['/jwks']);
  });
});

describe('an issuer without jwksUri', () => {
  let world: World;
  beforeEach(async () => {
    world = await setUp({ jwksUri: null });
  });
  afterEach(async () => {
    await world.provider.stop();
  });

  it('is asked by discovery where its keys are, once', async () => {
    const { provider, find, pass } = world;
    expect(await find('first')).toBe('found');
    pass(601 * SECOND_MS);
    expect(await find('first')).toBe('found');
    expect(provider.asked).toEqual(['/.well-known/openid-configuration', '/jwks', '/jwks']);
  });

  it('is followed to no other origin, and must name itself', async () => {
    const { provider, find, pass, failures } = world;
    const { issuer } = provider;
    for (const document of [
      { issuer, jwks_uri: 'http://169.254.169.254/latest/meta-data' },
      { issuer, jwks_uri: issuer.replace('127.0.0.1', 'localhost') },
      { issuer, jwks_uri: 7 },
      { issuer: 'https://other.example', jwks_uri: provider.jwksUri },
    ]) {
      provider.misbehaviour = (_request, response) => response.end(JSON.stringify(document));
      expect(await find('first')).toBe('ISSUER_UNAVAILABLE');
      pass(31 * SECOND_MS);
    }
    expect(new Set(provider.asked)).toEqual(new Set(['/.well-known/openid-configuration']));
    expect(failures.map((text) => /another issuer|set jwksUri/.exec(text)?.[0])).toEqual([
      'set jwksUri',
      'set jwksUri',
      'set jwksUri',
      'another issuer',
    ]);
  });
});
