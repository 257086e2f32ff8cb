import type { FieldError } from '#libs/eventsourcing';
import {
  type AuditedEvent,
  auditMessage,
  type Page,
  parseStrictJson,
  refusalOf,
  validationRefusal,
  withoutPosition,
} from '#libs/platform';
import type { BulkAnswer } from './key-bulk.js';
import type { KeyPage } from './key-list.js';
import type { SecretAnswer } from './key.commands.js';
import type { KeyView } from './keys.views.js';

/**
 * Between the messages of steward/v1/keys.proto and the fields of HTTP. Protocol buffers know neither null nor any JSON,
 * so scopes that may be absent have a message of their own, and metadata is the text of a JSON object.
 */

type Fields = Record<string, unknown>;

interface Message extends Fields {
  readonly scopes?: { readonly values?: readonly string[] };
  readonly labels?: Readonly<Record<string, string>>;
  readonly metadataJson?: string;
  readonly neverExpires?: boolean;
}

/** Text that HTTP would refuse in a body is refused here too, under the name of its field. */
function strictJson(text: string, field: string): unknown {
  try {
    return parseStrictJson(Buffer.from(text));
  } catch (error) {
    const { errors = [] } = refusalOf(error).extra;
    throw validationRefusal(
      errors.map(({ location, message }) => ({ location: location.replace('body', `request.${field}`), message })),
    );
  }
}

/** The request as the body, path and query of the HTTP route would be together. */
export function fieldsOf(request: unknown): Fields {
  const { scopes, labels, metadataJson, neverExpires, ...others } = withoutPosition(request) as Message;
  return {
    ...others,
    ...(scopes === undefined ? {} : { scopes: scopes.values ?? [] }),
    ...(labels === undefined ? {} : { labels: strictJson(JSON.stringify(labels), 'labels') }),
    ...(metadataJson === undefined ? {} : { metadata: strictJson(metadataJson, 'metadataJson') }),
    ...(neverExpires === true ? { expiresAt: null } : {}),
  };
}

/** `ip_allow` to `ipAllow`; a name that is in camelCase already stays as it is. */
const fieldNamed = (path: string): string =>
  path === 'metadata_json' || path === 'metadataJson'
    ? 'metadata'
    : path.replace(/_([a-z])/g, (_all, letter: string) => letter.toUpperCase());

/** The body of a PATCH from fields and the mask that names them: what is named and not there is null. */
export function patchOf({ updateMask = [], ...fields }: Fields & { readonly updateMask?: readonly string[] }): Fields {
  const named = new Set(updateMask.map(fieldNamed));
  const errors: FieldError[] = Object.keys(fields)
    .filter((name) => !named.has(name))
    .map((name) => ({ location: `request.${name}`, message: 'must be named in updateMask' }));
  if (errors.length > 0) throw validationRefusal(errors);
  return Object.fromEntries([...named].map((name) => [name, Object.hasOwn(fields, name) ? fields[name] : null]));
}

export const keyMessage = ({ scopes, metadata, ...others }: KeyView): object => ({
  ...others,
  scopes: scopes === null ? undefined : { values: scopes },
  metadataJson: JSON.stringify(metadata),
});

export const secretMessage = ({ key, secret, code }: SecretAnswer): object => ({ key: keyMessage(key), secret, code });

export const listMessage = ({ data, page }: KeyPage): object => ({ data: data.map(keyMessage), page });

export const historyMessage = ({ data: events, page }: Page<AuditedEvent>): object => ({
  data: events.map(auditMessage),
  page,
});

export const bulkMessage = ({ results, correlationId }: BulkAnswer): object => ({
  results: results.map(({ key, ...others }) => ({ ...others, key: key && keyMessage(key) })),
  correlationId,
});
