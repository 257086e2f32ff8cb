import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { fileURLToPath } from 'node:url';
import { aDataDir, aProject, StewardProcess } from '#libs/testing';
import { badTokens } from '../../libs/platform/src/oidc/testing/bad-tokens.js';
import { IdentityProvider } from '../../libs/platform/src/oidc/testing/identity-provider.js';

const script = fileURLToPath(new URL('../../scripts/sign-in.mjs', import.meta.url));
const DEV_LOGIN = ['--dev-login', '--dev-login-port', '0'];

const issuerOf = (steward: StewardProcess): string => {
  const line =
    steward.output
      .join('')
      .split('\n')
      .find((text) => text.includes('Steward is ready')) ?? '{}';
  return (JSON.parse(line) as { devLogin: string }).devLogin;
};

/** A browser without a person: it keeps cookies, follows redirects and submits the one form with this user id. */
async function browse(address: string, userId: string): Promise<string[]> {
  const cookies = new Map<string, string>();
  const pages: string[] = [];
  let next: { url: string; form?: string } | undefined = { url: address };
  for (let step = 0; step < 10 && next !== undefined; step += 1) {
    const { url, form }: { url: string; form?: string } = next;
    const response: Response = await fetch(url, {
      redirect: 'manual',
      headers: {
        cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; '),
        ...(form === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
      },
      ...(form === undefined ? {} : { method: 'POST', body: form }),
    });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
      cookies.set(name, value);
    }
    const page = await response.text();
    pages.push(`${response.status} ${page}`);
    const location = response.headers.get('location');
    if (location !== null) next = { url: new URL(location, url).href };
    else if (page.includes('<form method="post">')) next = { url, form: `userId=${encodeURIComponent(userId)}` };
    else next = undefined;
  }
  return pages;
}

/** What `npm run sign-in` prints when this person signs in with the browser. */
async function signIn(issuer: string, userId: string): Promise<{ token: string; pages: string[] }> {
  const child = spawn(process.execPath, [script, '--issuer', issuer], { stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said.stderr += text));
  const ended = once(child, 'exit');
  try {
    while (!/http\S+\n/.test(said.stderr)) await Promise.race([once(child.stderr, 'data'), ended.then(failed)]);
    const pages = await browse(/(http\S+)\n/.exec(said.stderr.split('browser:')[1] ?? '')?.[1] ?? '', userId);
    if (!pages.at(-1)?.includes('go back to the terminal')) return { token: '', pages };
    await ended;
    return { token: said.stdout.trim(), pages };
  } finally {
    child.kill('SIGKILL');
  }
}

function failed(): never {
  throw new Error('The sign-in ended before it printed an address.');
}

describe('npm start -- --dev-login', () => {
  let steward: StewardProcess;
  beforeAll(async () => {
    steward = await StewardProcess.start({ args: DEV_LOGIN });
    await aProject(steward);
    await steward.call('PUT', '/v1/projects/GOV112345/members/ada.fischer', { body: { role: 'tenant_admin' } });
  });
  afterAll(async () => {
    await steward.stop();
  });

  it('lets a person sign in by typing a user id, with authorization code and PKCE, and act as that member', async () => {
    const { token } = await signIn(issuerOf(steward), 'ada.fischer');
    const whoami = await steward.call('GET', '/v1/whoami', { token });
    expect(whoami).toMatchObject({
      status: 200,
      body: {
        type: 'user',
        id: 'ada.fischer',
        via: `oidc:${issuerOf(steward)}`,
        grants: [{ role: 'tenant_admin', projectId: 'GOV112345' }],
        key: null,
      },
    });
    const body = { name: 'by a person', owner: { type: 'user', id: 'ada.fischer' } };
    const made = await steward.call<{ key: { id: string } }>('POST', '/v1/projects/GOV112345/keys', { token, body });
    expect(made.status).toBe(201);
    const history = await steward.call('GET', `/v1/keys/${made.body.key.id}/history`, { token });
    expect(JSON.stringify(history.body)).toContain(`"via":"oidc:${issuerOf(steward)}"`);
    expect((await steward.call('POST', '/v1/tenants', { token, body: { id: 'mine', name: 'Mine' } })).status).toBe(403);
    expect(steward.output.join('')).not.toContain(token);
  });

  it('tells a person without any right who that is', async () => {
    const { token } = await signIn(issuerOf(steward), 'nobody.yet');
    expect((await steward.call('GET', '/v1/whoami', { token })).body).toMatchObject({ id: 'nobody.yet', grants: [] });
    expect((await steward.call('GET', '/v1/projects/GOV112345', { token })).status).toBe(404);
  });

  it('takes no user id that is none, and answers to no other name', async () => {
    expect((await signIn(issuerOf(steward), 'a b')).pages.at(-1)).toMatch(/^400 .*cannot go on/s);
    const url = new URL(issuerOf(steward));
    const request = httpRequest({
      host: url.hostname,
      port: url.port,
      path: '/jwks',
      headers: { host: 'evil.example' },
    });
    const [response] = (await once(request.end(), 'response')) as [{ statusCode: number; resume(): void }];
    response.resume();
    expect(response.statusCode).toBe(421);
  });

  it('sends a code to this machine alone, and only with PKCE', async () => {
    const query = (more: Record<string, string>) =>
      new URLSearchParams({
        client_id: 'steward-dev',
        response_type: 'code',
        scope: 'openid',
        redirect_uri: 'http://127.0.0.1:1/callback',
        code_challenge: 'x'.repeat(43),
        code_challenge_method: 'S256',
        ...more,
      }).toString();
    const answerTo = async (more: Record<string, string>) => {
      const response = await fetch(`${issuerOf(steward)}/auth?${query(more)}`, { redirect: 'manual' });
      return `${response.status} ${response.headers.get('location') ?? ''}`;
    };
    expect(await answerTo({})).toMatch(/^303 \S*\/interaction\//);
    for (const redirect_uri of ['http://evil.example/callback', 'https://127.0.0.1/callback', 'javascript:alert(1)'])
      expect(await answerTo({ redirect_uri })).toMatch(/^400/);
    expect(await answerTo({ code_challenge: '' })).toMatch(/error=invalid_request/);
  });

  it.each([
    [{ STEWARD_HOST: '0.0.0.0' }, DEV_LOGIN, /STEWARD_HOST must be a loopback address/],
    [{}, ['--dev-login', '--dev-login-port', '65536'], /--dev-login-port must be an integer from 0 to 65535/],
    [{}, ['--dev-logon'], /npm start takes --dev-login/],
    [
      {
        STEWARD_OIDC_ISSUERS: JSON.stringify([
          { issuer: 'https://id.example.com', audience: 'steward', tenants: '*', idPrefix: null },
        ]),
      },
      DEV_LOGIN,
      /beside --dev-login must give each issuer an idPrefix of its own/,
    ],
  ])('is refused by name: %j %j', async (env, args, message) => {
    const refused = StewardProcess.spawn({ env: env, args });
    try {
      expect(await refused.exited()).toBe(1);
      expect(refused.output.join('')).toMatch(/^ConfigError: /m);
      expect(refused.output.join('')).toMatch(message);
    } finally {
      await refused.stop();
    }
  });
});

describe('STEWARD_OIDC_ISSUERS', () => {
  let provider: IdentityProvider;
  let steward: StewardProcess;
  let dataDir: string;
  const start = (more: object = {}): StewardProcess =>
    StewardProcess.spawn({
      dataDir,
      env: {
        STEWARD_OIDC_ISSUERS: JSON.stringify([
          { ...provider.configured({ tenants: ['acme'], idPrefix: 'corp_' }), ...more },
        ]),
        STEWARD_AUTH_FAILURES_PER_MINUTE: '1000',
      },
    });
  beforeAll(async () => {
    dataDir = aDataDir();
    provider = await IdentityProvider.start();
    steward = start();
    await steward.ready();
    await aProject(steward);
    await steward.call('PUT', '/v1/projects/GOV112345/members/corp_alice', { body: { role: 'tenant_user' } });
  });
  afterAll(async () => {
    await steward.stop();
    await provider.stop();
    rmSync(dataDir, { recursive: true, force: true });
  });

  it('admits a member by the prefixed id, over HTTP as anywhere, within the issuer’s tenants alone', async () => {
    await steward.call('POST', '/v1/tenants', { body: { id: 'umbra', name: 'Umbra' } });
    await steward.call('POST', '/v1/tenants/umbra/projects', { body: { id: 'X1', name: 'Night' } });
    await steward.call('PUT', '/v1/projects/X1/members/corp_alice', { body: { role: 'tenant_admin' } });
    const principal = { type: 'user', role: 'platform_admin' };
    expect((await steward.call('PUT', '/v1/principals/corp_alice', { body: principal })).status).toBeLessThan(300);
    const token = await provider.sign(provider.claims(Date.now()));
    const { body } = await steward.call('GET', '/v1/whoami', { token });
    expect(body).toMatchObject({ id: 'corp_alice', tenantId: null });
    expect(body['grants']).toEqual([{ role: 'tenant_user', tenantId: 'acme', projectId: 'GOV112345' }]);
    expect((await steward.call('GET', '/v1/projects/X1', { token })).status).toBe(404);
    expect((await steward.call('GET', '/v1/principals', { token })).status).toBe(403);
  });

  it('answers every bad token with 401 and one body', async () => {
    const bad = await badTokens(provider, Date.now());
    expect(bad.length).toBeGreaterThanOrEqual(24);
    const answers = new Set<string>();
    for (const [, token] of [...bad, ['a key that is none', 'stw_live_0'] as const]) {
      const { status, body, headers } = await steward.call('GET', '/v1/whoami', { token });
      answers.add(JSON.stringify([status, { ...body, requestId: '' }, headers.get('www-authenticate')]));
    }
    expect([...answers]).toHaveLength(1);
    expect([...answers][0]).toMatch(/^\[401,/);
  });

  it('asks the issuer for its keys at most once in 30 s under a flood of unknown key ids', async () => {
    const token = await provider.sign(provider.claims(Date.now()));
    const [, payload, signature] = token.split('.');
    const before = provider.fetches;
    const startedMs = performance.now();
    const kids = Array.from({ length: 500 }, (_, n) => n);
    for (let n = 0; n < kids.length; n += 50)
      await Promise.all(
        kids.slice(n, n + 50).map((kid) => {
          const header = Buffer.from(JSON.stringify({ alg: 'ES256', typ: 'at+jwt', kid: `k${kid}` })).toString(
            'base64url',
          );
          return steward.call('GET', '/v1/whoami', { token: `${header}.${payload}.${signature}` });
        }),
      );
    expect(provider.fetches - before).toBeLessThanOrEqual(1 + Math.floor((performance.now() - startedMs) / 30_000));
    expect((await steward.call('GET', '/v1/whoami', { token })).status).toBe(200);
  });

  it('keeps the prefix of the first sign-in: a start with another is refused by name, with the same it goes on', async () => {
    await steward.stop();
    const changed = start({ idPrefix: 'other_' });
    expect(await changed.exited()).toBe(1);
    expect(changed.output.join('')).toMatch(/^IssuerRefused: .* has the id prefix corp_ since its first sign-in/m);
    steward = start();
    await steward.ready();
    const token = await provider.sign(provider.claims(Date.now()));
    expect((await steward.call('GET', '/v1/whoami', { token })).body['id']).toBe('corp_alice');
  });
});
