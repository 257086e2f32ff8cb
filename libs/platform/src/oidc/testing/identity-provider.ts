import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JSONWebKeySet, type JWTPayload, SignJWT } from 'jose';
import type { OidcIssuer, SignatureAlgorithm } from '../issuers.js';

type KeyPair = Awaited<ReturnType<typeof generateKeyPair>>;

interface PublishedKey {
  readonly kid: string;
  readonly alg: SignatureAlgorithm;
  readonly pair: KeyPair;
}

/** Answers instead of the provider. */
export type Misbehaviour = (request: IncomingMessage, response: ServerResponse) => void;

/** An issuer on a loopback port with keys of its own, that counts what it is asked and may be away or misbehave. */
export class IdentityProvider {
  readonly asked: string[] = [];
  misbehaviour: Misbehaviour | undefined;
  published: PublishedKey[] = [];
  jwksUri = '';
  issuer = '';
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      void this.#answer(request, response);
    });
  }

  static async start(): Promise<IdentityProvider> {
    const provider = new IdentityProvider();
    provider.#server.listen(0, '127.0.0.1');
    await once(provider.#server, 'listening');
    const { port } = provider.#server.address() as AddressInfo;
    provider.issuer = `http://127.0.0.1:${port}`;
    provider.jwksUri = `${provider.issuer}/jwks`;
    await provider.publish('first', 'ES256');
    return provider;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  get fetches(): number {
    return this.asked.filter((path) => path === '/jwks').length;
  }

  async publish(kid: string, alg: SignatureAlgorithm): Promise<PublishedKey> {
    const key = { kid, alg, pair: await generateKeyPair(alg, { extractable: true }) };
    this.published.push(key);
    return key;
  }

  async jwks(): Promise<JSONWebKeySet> {
    const keys = this.published.map(async ({ kid, alg, pair }) => ({
      ...(await exportJWK(pair.publicKey)),
      kid,
      alg,
      use: 'sig',
    }));
    return { keys: await Promise.all(keys) };
  }

  configured(more: Partial<OidcIssuer> = {}): OidcIssuer {
    return {
      issuer: this.issuer,
      audience: 'steward',
      tenants: '*',
      idPrefix: null,
      algorithms: ['RS256', 'PS256', 'ES256', 'EdDSA'],
      typ: 'at+jwt',
      maxTokenAgeSeconds: 3_600,
      jwksUri: null,
      ...more,
    };
  }

  /** What a right access token of alice says at this moment. */
  claims(nowMs: number): JWTPayload {
    const iat = Math.floor(nowMs / 1000);
    return { iss: this.issuer, aud: 'steward', sub: 'alice', iat, exp: iat + 300 };
  }

  /** Signed by the newest key unless told; a claim or header field of undefined is left out. */
  async sign(
    claims: Readonly<Record<string, unknown>>,
    header: Readonly<Record<string, unknown>> = {},
    key: PublishedKey | undefined = this.published.at(-1),
  ): Promise<string> {
    if (key === undefined) throw new Error('The provider has no key.');
    return new SignJWT(claims)
      .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'at+jwt', ...header })
      .sign(key.pair.privateKey);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? '';
    this.asked.push(path);
    if (this.misbehaviour !== undefined) {
      this.misbehaviour(request, response);
      return;
    }
    const documents: Record<string, object> = {
      '/.well-known/openid-configuration': { issuer: this.issuer, jwks_uri: this.jwksUri },
      '/jwks': await this.jwks(),
    };
    const document = documents[path];
    response.writeHead(document === undefined ? 404 : 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(document ?? {}));
  }
}
