import { type FieldError, Refusal } from '#libs/eventsourcing';
import { printableName } from '#libs/platform';
import { type Address, parseAddress } from '../ip-ranges.js';
import { ENVIRONMENT_PATTERN, TOKEN_BYTES_MAX } from '../key-secret.js';

/** What a service asks about a token that it was shown. */
export interface VerifyRequest {
  readonly token: string;
  /** Of the token's bearer, as the service sees it; not of the service. */
  readonly clientIp: Address | undefined;
  readonly environment: string | undefined;
  /** The service that the token was shown to. */
  readonly audience: string | undefined;
  /** All of them are required. */
  readonly scopes: readonly string[] | undefined;
  readonly minPosition: string | undefined;
  readonly maxStalenessMs: number | undefined;
}

export const BATCH_REQUESTS_MAX = 100;
export const SCOPES_MAX = 256;
export const TAGS_MAX = 20;
export const STALENESS_MS_MAX = 3_600_000;

const SCOPE_LENGTH_MAX = 256;
const AUDIENCE_LENGTH_MAX = 64;
const TAG_LENGTH_MAX = 128;
const POSITION_LENGTH_MAX = 64;
const SCOPE_PATTERN = /^[a-z0-9_*-]+(:[a-z0-9_*-]+){0,3}$/;
const AUDIENCE_PATTERN = /^[a-z0-9._-]+$/;

/**
 * The verify route's own check, by hand: it runs before every decision, and reading a DTO class would cost more than
 * the decision does. It says the same as the checks of other routes.
 */
function wrong(location: string, message: string): Refusal {
  const error: FieldError = { location, message };
  return new Refusal('VALIDATION', `${location} ${message}.`, { errors: [error] });
}

function objectAt(value: unknown, location: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(location, 'must be an object');
  return value as Record<string, unknown>;
}

function tokenAt(value: unknown, location: string): string {
  if (value === undefined) throw wrong(location, 'is required');
  if (typeof value !== 'string') throw wrong(location, 'must be a text');
  // A UTF-16 unit is one to three bytes, so most tokens need no counting.
  const fits = value.length > 0 && (value.length * 3 <= TOKEN_BYTES_MAX || Buffer.byteLength(value) <= TOKEN_BYTES_MAX);
  if (!fits) throw wrong(location, `must have 1 to ${TOKEN_BYTES_MAX} bytes`);
  return value;
}

function textAt(value: unknown, location: string, lengthMax: number, pattern?: RegExp): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'string') throw wrong(location, 'must be a text');
  if (value.length === 0 || value.length > lengthMax) throw wrong(location, `must have 1 to ${lengthMax} characters`);
  if (pattern !== undefined && !pattern.test(value)) throw wrong(location, `must be of the form ${pattern.source}`);
  return value;
}

function listAt(value: unknown, location: string, itemsMax: number): unknown[] | undefined {
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) throw wrong(location, 'must be a list');
  if (value.length > itemsMax) throw wrong(location, `must have at most ${itemsMax} items`);
  return value as unknown[];
}

function textsAt(
  value: unknown,
  location: string,
  limits: { itemsMax: number; lengthMax: number; pattern?: RegExp },
): string[] | undefined {
  return listAt(value, location, limits.itemsMax)?.map((item, n) => {
    const text = textAt(item, `${location}.${n}`, limits.lengthMax, limits.pattern);
    if (text === undefined) throw wrong(`${location}.${n}`, 'must be a text');
    return text;
  });
}

function addressAt(value: unknown, location: string): Address | undefined {
  if (value === undefined) return undefined;
  const address = typeof value === 'string' ? parseAddress(value) : undefined;
  if (address === undefined) throw wrong(location, 'must be an IP address');
  return address;
}

function stalenessAt(value: unknown, location: string): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > STALENESS_MS_MAX)
    throw wrong(location, `must be an integer from 1 to ${STALENESS_MS_MAX}`);
  return value;
}

/** Nothing can be consumed yet, and to ignore the wish would let through what the caller means to count. */
function refuseConsumption(value: unknown, location: string): void {
  const wishes = listAt(value, location, 10);
  if (wishes !== undefined && wishes.length > 0)
    throw wrong(location, 'must be empty: keys have no limits to consume from in this version');
}

export function readVerifyRequest(value: unknown, location = 'body'): VerifyRequest {
  const body = objectAt(value, location);
  let clientIp, environment, audience, scopes, minPosition, maxStalenessMs;
  for (const name in body) {
    const field = body[name];
    const at = `${location}.${name}`;
    switch (name) {
      case 'token':
        break;
      case 'clientIp':
        clientIp = addressAt(field, at);
        break;
      case 'environment':
        environment = textAt(field, at, 8, ENVIRONMENT_PATTERN);
        break;
      case 'audience':
        audience = textAt(field, at, AUDIENCE_LENGTH_MAX, AUDIENCE_PATTERN);
        break;
      case 'scopes':
        scopes = textsAt(field, at, { itemsMax: SCOPES_MAX, lengthMax: SCOPE_LENGTH_MAX, pattern: SCOPE_PATTERN });
        break;
      case 'tags':
        textsAt(field, at, { itemsMax: TAGS_MAX, lengthMax: TAG_LENGTH_MAX });
        break;
      case 'consume':
        refuseConsumption(field, at);
        break;
      case 'minPosition':
        minPosition = textAt(field, at, POSITION_LENGTH_MAX);
        break;
      case 'maxStalenessMs':
        maxStalenessMs = stalenessAt(field, at);
        break;
      default:
        throw wrong(`${location}.${printableName(name)}`, 'is not a known field');
    }
  }
  const token = tokenAt(body['token'], `${location}.token`);
  return { token, clientIp, environment, audience, scopes, minPosition, maxStalenessMs };
}

export function readVerifyBatch(value: unknown, location = 'body'): VerifyRequest[] {
  const body = objectAt(value, location);
  for (const name of Object.keys(body))
    if (name !== 'requests') throw wrong(`${location}.${printableName(name)}`, 'is not a known field');
  const at = `${location}.requests`;
  const requests = listAt(body['requests'], at, BATCH_REQUESTS_MAX);
  if (requests === undefined) throw wrong(at, 'is required');
  if (requests.length === 0) throw wrong(at, 'must have at least one item');
  return requests.map((request, n) => readVerifyRequest(request, `${at}.${n}`));
}
