import { generateKeyPair, exportJWK } from 'jose';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type AppConfig, clashesOf, ConfigError, ID_PATTERN, isLoopbackHost, type OidcIssuer } from '#libs/platform';
import { failurePage, signInPage } from './sign-in-page.js';

export const DEV_LOGIN_PORT = 8090;
export const DEV_CLIENT_ID = 'steward-dev';
const AUDIENCE = 'steward';
const RESOURCE = 'urn:steward';
const TOKEN_SECONDS = 3_600;
const FORM_BYTES_MAX = 4_096;
const HOST = '127.0.0.1';
const CALLBACK = `http://${HOST}/callback`;

/** What is used of npm's `oidc-provider`, which has no types of its own. */
interface Provider {
  readonly Client: { readonly prototype: { redirectUriAllowed(uri: string): boolean } };
  callback(): (request: IncomingMessage, response: ServerResponse) => void;
  interactionDetails(request: IncomingMessage, response: ServerResponse): Promise<{ readonly uid: string }>;
  interactionFinished(
    request: IncomingMessage,
    response: ServerResponse,
    result: { readonly login: { readonly accountId: string; readonly remember: boolean } },
  ): Promise<void>;
}

interface Grant {
  addOIDCScope(scope: string): void;
  addResourceScope(resource: string, scope: string): void;
  save(): Promise<string>;
}

interface ProviderContext {
  readonly oidc: {
    readonly client: { readonly clientId: string };
    readonly session: { readonly accountId: string };
    readonly provider: { readonly Grant: new (of: { clientId: string; accountId: string }) => Grant };
  };
}

/**
 * An identity provider on a loopback port where whoever types a user id is that user, for development. Answers how
 * Steward is to trust it. Throws ConfigError where Steward itself is not on a loopback address, where an issuer is
 * configured that takes the same ids, and where the package is missing or the port is taken.
 */
export async function startDevLogin(
  config: Pick<AppConfig, 'host' | 'oidcIssuers'>,
  port: number = DEV_LOGIN_PORT,
): Promise<OidcIssuer> {
  if (!isLoopbackHost(config.host))
    throw new ConfigError(['--dev-login lets anybody sign in as anybody: STEWARD_HOST must be a loopback address.']);
  const newProvider = await loadProvider();
  const server = createServer();
  server.listen(port, HOST);
  try {
    await once(server, 'listening');
  } catch {
    throw new ConfigError([`--dev-login cannot listen on port ${port}; name another with --dev-login-port.`]);
  }
  const host = `${HOST}:${(server.address() as AddressInfo).port}`;
  const issuer = trustedAs(`http://${host}`);
  const clashes = clashesOf([...config.oidcIssuers, issuer], 'STEWARD_OIDC_ISSUERS beside --dev-login');
  if (clashes.length > 0) throw new ConfigError(clashes);
  server.on('request', handlerOf(newProvider(issuer.issuer, await settings()), host));
  return issuer;
}

async function loadProvider(): Promise<(issuer: string, settings: object) => Provider> {
  // By a variable, because what is installed for production has no such package.
  const name: string = 'oidc-provider';
  try {
    const { default: Provider } = (await import(name)) as {
      default: new (issuer: string, settings: object) => Provider;
    };
    return (issuer, chosen) => new Provider(issuer, chosen);
  } catch {
    throw new ConfigError(['--dev-login needs oidc-provider, which only development installs: run npm ci first.']);
  }
}

const trustedAs = (issuer: string): OidcIssuer => ({
  issuer,
  audience: AUDIENCE,
  tenants: '*',
  // Whoever types the id of a member is to be that member.
  idPrefix: null,
  algorithms: ['ES256'],
  typ: 'at+jwt',
  maxTokenAgeSeconds: TOKEN_SECONDS,
  jwksUri: `${issuer}/jwks`,
});

async function settings(): Promise<object> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  return {
    jwks: {
      keys: [{ ...(await exportJWK(privateKey)), alg: 'ES256', use: 'sig', kid: randomBytes(8).toString('hex') }],
    },
    clients: [
      {
        client_id: DEV_CLIENT_ID,
        token_endpoint_auth_method: 'none',
        redirect_uris: [CALLBACK],
        grant_types: ['authorization_code'],
        response_types: ['code'],
        id_token_signed_response_alg: 'ES256',
      },
    ],
    cookies: { keys: [randomBytes(32).toString('hex')] },
    pkce: { methods: ['S256'], required: () => true },
    ttl: {
      AccessToken: TOKEN_SECONDS,
      Grant: TOKEN_SECONDS,
      IdToken: TOKEN_SECONDS,
      Interaction: 600,
      Session: TOKEN_SECONDS,
    },
    clientBasedCORS: () => false,
    interactions: { url: (_: unknown, { uid }: { uid: string }) => `/interaction/${uid}` },
    findAccount: (_: unknown, accountId: string) => ({ accountId, claims: () => ({ sub: accountId }) }),
    loadExistingGrant: grantEverything,
    features: {
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => RESOURCE,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: '',
          audience: AUDIENCE,
          accessTokenTTL: TOKEN_SECONDS,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  };
}

/** Nobody is asked for consent: there is one client, and it is Steward's. */
async function grantEverything({ oidc }: ProviderContext): Promise<Grant> {
  const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
  grant.addOIDCScope('openid');
  grant.addResourceScope(RESOURCE, '');
  await grant.save();
  return grant;
}

function handlerOf(provider: Provider, host: string): (request: IncomingMessage, response: ServerResponse) => void {
  // The console and scripts listen on paths and ports of their own, all on this machine.
  provider.Client.prototype.redirectUriAllowed = (uri) =>
    URL.canParse(uri) && new URL(uri).protocol === 'http:' && isLoopbackHost(new URL(uri).hostname);
  const oidc = provider.callback();
  return (request, response) => {
    // A page from elsewhere can make its own name point here, but cannot change what the browser calls the host.
    if (request.headers.host !== host) sendPage(response, 421, failurePage());
    else if (/^\/interaction\/[\w-]+$/.test(request.url ?? '')) void interact(provider, request, response);
    else oidc(request, response);
  };
}

async function interact(provider: Provider, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    await provider.interactionDetails(request, response);
    if (request.method !== 'POST') {
      sendPage(response, 200, signInPage());
      return;
    }
    const userId = new URLSearchParams(await formOf(request)).get('userId')?.trim() ?? '';
    if (ID_PATTERN.test(userId))
      await provider.interactionFinished(request, response, { login: { accountId: userId, remember: false } });
    else sendPage(response, 400, failurePage());
  } catch {
    if (!response.headersSent) sendPage(response, 400, failurePage());
  }
}

async function formOf(request: IncomingMessage): Promise<string> {
  let form = '';
  for await (const chunk of request.setEncoding('utf8') as AsyncIterable<string>) {
    form += chunk;
    if (form.length > FORM_BYTES_MAX) throw new Error('The form is too large.');
  }
  return form;
}

function sendPage(response: ServerResponse, status: number, page: string): void {
  response.writeHead(status, {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    'referrer-policy': 'no-referrer',
  });
  response.end(page);
}
