import { ID_PATTERN } from '../fields/fields.js';

/** What Steward verifies: asymmetric signatures only, so that nothing an issuer publishes can sign. */
const SIGNATURE_ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'] as const;

export type SignatureAlgorithm = (typeof SIGNATURE_ALGORITHMS)[number];

/** One identity provider and how far it is trusted. */
export interface OidcIssuer {
  /** Exactly as it stands in the claim `iss`. */
  readonly issuer: string;
  /** The `aud` of tokens that are meant for Steward. */
  readonly audience: string;
  /** The tenants that it may speak for; `*` = all of them, and the platform's own principals. */
  readonly tenants: '*' | readonly string[];
  /** `[a-z0-9]{1,12}_`; null for the one issuer whose subs are user ids as they stand. */
  readonly idPrefix: string | null;
  readonly algorithms: readonly SignatureAlgorithm[];
  /** Of the token's header: `at+jwt` (RFC 9068), so that an ID token is no access token. */
  readonly typ: string;
  readonly maxTokenAgeSeconds: number;
  /** Where its keys are; null = its discovery document says, and only on the issuer's own origin. */
  readonly jwksUri: string | null;
}

/** What an actor and a principal are called that came by this issuer. */
export const viaIssuer = (issuer: string): string => `oidc:${issuer}`;

const ISSUERS_MAX = 100;
const TENANTS_MAX = 10_000;
/** It stands in the actor of every event. */
const ISSUER_LENGTH_MAX = 200;
const ID_PREFIX = /^[a-z0-9]{1,12}_$/;
const DAY_SECONDS = 86_400;

const LOOPBACK = /^(127(\.\d{1,3}){3}|\[::1\]|localhost)$/;

export const isLoopbackHost = (host: string): boolean => LOOPBACK.test(host) || host === '::1';

/** https, or http to this machine; no password, no fragment. */
function isSafeUrl(text: string): boolean {
  // The parser would forgive spaces, and the comparison with a claim does not.
  if (!/^[\x21-\x7e]+$/.test(text) || !URL.canParse(text)) return false;
  const { protocol, hostname, username, password, hash } = new URL(text);
  if (username !== '' || password !== '' || hash !== '') return false;
  return protocol === 'https:' || (protocol === 'http:' && isLoopbackHost(hostname));
}

const isTextUpTo = (value: unknown, max: number): value is string =>
  typeof value === 'string' && value.length > 0 && value.length <= max;

const isListOf = <T>(value: unknown, max: number, isOne: (item: unknown) => item is T): value is readonly T[] =>
  Array.isArray(value) && value.length > 0 && value.length <= max && value.every(isOne);

const isId = (value: unknown): value is string => typeof value === 'string' && ID_PATTERN.test(value);

const isAlgorithm = (value: unknown): value is SignatureAlgorithm =>
  SIGNATURE_ALGORITHMS.includes(value as SignatureAlgorithm);

interface FieldRule {
  readonly isRight: (value: unknown) => boolean;
  readonly form: string;
  /** Absent = the field must be there. */
  readonly otherwise?: unknown;
}

const URL_FORM = 'an https URL, or http on a loopback address, without a password or a fragment';

const rules: Readonly<Record<keyof OidcIssuer, FieldRule>> = {
  issuer: {
    isRight: (value) => isTextUpTo(value, ISSUER_LENGTH_MAX) && isSafeUrl(value) && !value.includes('?'),
    form: `${URL_FORM} or a query, of at most ${ISSUER_LENGTH_MAX} characters`,
  },
  audience: { isRight: (value) => isTextUpTo(value, 255), form: 'a text of 1 to 255 characters' },
  tenants: {
    isRight: (value) => value === '*' || isListOf(value, TENANTS_MAX, isId),
    form: 'a list of tenant ids, or "*" for all of them and the platform’s principals',
  },
  idPrefix: {
    isRight: (value) => value === null || (typeof value === 'string' && ID_PREFIX.test(value)),
    form: '1 to 12 of a-z 0-9 and an underscore, or null for none',
  },
  algorithms: {
    isRight: (value) => isListOf(value, SIGNATURE_ALGORITHMS.length, isAlgorithm),
    form: `a list of ${SIGNATURE_ALGORITHMS.join(', ')}`,
    otherwise: SIGNATURE_ALGORITHMS,
  },
  typ: {
    isRight: (value) => isTextUpTo(value, 64),
    form: 'a text of 1 to 64 characters, as at+jwt',
    otherwise: 'at+jwt',
  },
  maxTokenAgeSeconds: {
    isRight: (value) => Number.isInteger(value) && (value as number) >= 60 && (value as number) <= 30 * DAY_SECONDS,
    form: `an integer from 60 to ${30 * DAY_SECONDS}`,
    otherwise: DAY_SECONDS,
  },
  jwksUri: {
    isRight: (value) => value === null || (isTextUpTo(value, 2_000) && isSafeUrl(value)),
    form: URL_FORM,
    otherwise: null,
  },
};

const fieldNames = Object.keys(rules) as readonly (keyof OidcIssuer)[];

function readIssuer(value: unknown, place: string, problems: string[]): OidcIssuer | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    problems.push(`${place} must be an object.`);
    return undefined;
  }
  const before = problems.length;
  const given = new Map(Object.entries(value));
  for (const name of given.keys())
    if (!Object.hasOwn(rules, name)) problems.push(`${place} has a field that means nothing.`);
  const read = fieldNames.map((name) => {
    const { isRight, form, otherwise } = rules[name];
    const field: unknown = given.get(name) ?? (given.has(name) ? null : otherwise);
    if (!isRight(field)) problems.push(`${place}.${name} must be ${form}.`);
    return [name, field];
  });
  return problems.length === before ? (Object.fromEntries(read) as OidcIssuer) : undefined;
}

/** What keeps the issuers from standing beside each other; each sentence begins with `place`. */
export function clashesOf(issuers: readonly OidcIssuer[], place: string): string[] {
  const repeated = (of: (issuer: OidcIssuer) => string): boolean => new Set(issuers.map(of)).size < issuers.length;
  const problems: string[] = [];
  if (repeated(({ issuer }) => issuer)) problems.push(`${place} must name each issuer once.`);
  if (repeated(({ idPrefix }) => idPrefix ?? ''))
    problems.push(`${place} must give each issuer an idPrefix of its own, and only one may have null.`);
  return problems;
}

/** The issuers of a JSON text. Problems name the field and never a value. */
export function readIssuers(text: string, place: string): { issuers: OidcIssuer[]; problems: string[] } {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    list = undefined;
  }
  if (!Array.isArray(list) || list.length > ISSUERS_MAX)
    return { issuers: [], problems: [`${place} must be a JSON list of at most ${ISSUERS_MAX} issuers.`] };
  const problems: string[] = [];
  const issuers = list
    .map((value, n) => readIssuer(value, `${place}[${n}]`, problems))
    .filter((issuer) => issuer !== undefined);
  return { issuers, problems: [...problems, ...clashesOf(issuers, place)] };
}
