import { Refusal } from '#libs/eventsourcing';
import { printableName } from '../requests/secrets-out.js';
import { isStorable, NOT_STORABLE } from '../fields/storable-text.js';

const FAULT = Symbol('fault');
const FORBIDDEN_NAMES = new Set(['__proto__', 'constructor', 'prototype']);

type Query = Record<string, string | string[] | undefined> & { [FAULT]?: Refusal | undefined };

/**
 * A query string as an untrusted client sends it; a repeated name is a list. A fault is kept until `refuseFaultOf`,
 * because what is thrown while the router reads the URL reaches nobody.
 */
export function parseStrictQuery(text: string): Query {
  // Without a prototype no name can reach anything but the query.
  const query = Object.create(null) as Query;
  if (text === '') return query;
  for (const pair of text.split('&')) {
    if (pair === '') continue;
    const at = pair.indexOf('=');
    const name = decode(at === -1 ? pair : pair.slice(0, at));
    const value = decode(at === -1 ? '' : pair.slice(at + 1));
    if (name === undefined || FORBIDDEN_NAMES.has(name)) {
      query[FAULT] ??= fault('query', 'has a name that is not taken');
      continue;
    }
    if (value === undefined) {
      query[FAULT] ??= fault(`query.${printableName(name)}`, `is not well-formed, or ${NOT_STORABLE}`);
      continue;
    }
    const before = query[name];
    query[name] = before === undefined ? value : [before, value].flat();
  }
  return query;
}

function decode(text: string): string | undefined {
  try {
    const decoded = decodeURIComponent(text.replaceAll('+', ' '));
    return isStorable(decoded) ? decoded : undefined;
  } catch {
    return undefined;
  }
}

const fault = (location: string, message: string): Refusal =>
  new Refusal('VALIDATION', `${location} ${message}.`, { errors: [{ location, message }] });

export function refuseFaultOf(query: unknown): void {
  const found = (query as Query | null)?.[FAULT];
  if (found !== undefined) throw found;
}

/** Refuses a path parameter that no id can be. */
export function refuseFaultyPath(params: unknown): void {
  for (const [name, value] of Object.entries((params ?? {}) as Record<string, unknown>))
    if (typeof value === 'string' && !isStorable(value)) throw fault(`path.${name}`, NOT_STORABLE);
}
