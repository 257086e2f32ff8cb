import { createHmac } from 'node:crypto';
import { exportJWK, exportSPKI, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import type { IdentityProvider } from './identity-provider.js';

const base64url = (value: object | string): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

function without(claims: JWTPayload, name: string): JWTPayload {
  return Object.fromEntries(Object.entries(claims).filter(([claim]) => claim !== name));
}

/** HMAC with whatever an attacker has: the published key's text, as PEM or as JSON. */
function signedByHmac(claims: JWTPayload, kid: string, secret: string): string {
  const signed = `${base64url({ alg: 'HS256', typ: 'at+jwt', kid })}.${base64url(claims)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

/** By what is wrong with each; the rest of each token is right at `nowMs`. */
export async function badTokens(provider: IdentityProvider, nowMs: number): Promise<[string, string][]> {
  const right = provider.claims(nowMs);
  const iat = right.iat ?? 0;
  const key = provider.published.at(-1);
  if (key === undefined) throw new Error('The provider has no key.');
  const good = await provider.sign(right);
  const [header = '', payload = '', signature = ''] = good.split('.');
  const stranger = { ...key, pair: await generateKeyPair('ES256', { extractable: true }) };
  const strangersJwk = await exportJWK(stranger.pair.publicKey);
  const jku = `${provider.issuer}/evil`;
  const oneBitOff = `${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`;
  const nested = await new SignJWT(right).setProtectedHeader({ alg: 'ES256', typ: 'JWT' }).sign(key.pair.privateKey);
  return [
    ['no signature, alg none', `${base64url({ alg: 'none', typ: 'at+jwt' })}.${payload}.`],
    ['alg None in other letters', `${base64url({ alg: 'nOnE', typ: 'at+jwt' })}.${payload}.`],
    ['the signature cut off', `${header}.${payload}.`],
    ['HS256 with the public key as PEM', signedByHmac(right, key.kid, await exportSPKI(key.pair.publicKey))],
    [
      'HS256 with the public key as JWK',
      signedByHmac(right, key.kid, JSON.stringify(await exportJWK(key.pair.publicKey))),
    ],
    ['another key under a published key id', await provider.sign(right, {}, stranger)],
    ['an unknown key id', await provider.sign(right, { kid: 'unknown' }, stranger)],
    ['a key in its own header', await provider.sign(right, { jwk: strangersJwk, kid: undefined }, stranger)],
    ['a link to a key set', await provider.sign(right, { jku, kid: 'evil' }, stranger)],
    ['a link to a certificate', await provider.sign(right, { x5u: jku, kid: 'evil' }, stranger)],
    ['a claim changed after it was signed', `${header}.${base64url({ ...right, sub: 'root' })}.${signature}`],
    ['a header changed after it was signed', `${base64url({ alg: 'ES256', kid: key.kid })}.${payload}.${signature}`],
    ['one bit of the signature changed', `${header}.${payload}.${oneBitOff}`],
    ['no expiry', await provider.sign(without(right, 'exp'))],
    ['an expiry that is past', await provider.sign({ ...right, exp: iat - 60 })],
    ['an expiry in words', await provider.sign({ ...right, exp: 'tomorrow' })],
    ['no time of issue', await provider.sign(without(right, 'iat'))],
    ['a time of issue in an hour', await provider.sign({ ...right, iat: iat + 3_600, exp: iat + 7_200 })],
    ['an issue long ago, still not expired', await provider.sign({ ...right, iat: iat - 90_000 })],
    ['a beginning in an hour', await provider.sign({ ...right, nbf: iat + 3_600 })],
    ['another audience', await provider.sign({ ...right, aud: 'storage' })],
    ['no audience', await provider.sign(without(right, 'aud'))],
    ['another issuer', await provider.sign({ ...right, iss: 'https://id.example.com' })],
    ['no issuer', await provider.sign(without(right, 'iss'))],
    ['the form of an ID token', await provider.sign(right, { typ: 'JWT' })],
    ['no typ', await provider.sign(right, { typ: undefined })],
    ['no subject', await provider.sign(without(right, 'sub'))],
    ['an empty subject', await provider.sign({ ...right, sub: '' })],
    ['a subject that is a number', await provider.sign({ ...right, sub: 7 })],
    ['a subject with half a character', await provider.sign({ ...right, sub: 'a\ud800' })],
    ['an extension that must be understood', await criticalExtension(provider, right)],
    [
      'a token within',
      `${base64url({ alg: 'ES256', kid: key.kid, typ: 'at+jwt', cty: 'JWT' })}.${base64url(nested)}.${signature}`,
    ],
    ['a payload that is a list', `${header}.${base64url([])}.${signature}`],
    ['parts that are no JSON', 'a.b.c'],
  ];
}

async function criticalExtension(provider: IdentityProvider, claims: JWTPayload): Promise<string> {
  const key = provider.published.at(-1);
  if (key === undefined) throw new Error('The provider has no key.');
  return new SignJWT(claims)
    .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'at+jwt', crit: ['urn:limit'], 'urn:limit': 'acme' })
    .sign(key.pair.privateKey, { crit: { 'urn:limit': true } });
}
