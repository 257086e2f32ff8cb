import { addressOf, type Replica } from './replicas.js';

/** What is read of an OpenAPI document; all else passes through as it is. */
export interface ApiDescription {
  readonly paths: Readonly<Record<string, unknown>>;
  readonly components?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly tags?: readonly { readonly name: string }[];
}

const DESCRIPTION_MS_MAX = 5_000;
/** All of Steward is described in some hundred kilobytes. */
const DESCRIPTION_BYTES_MAX = 16 * 1024 * 1024;

/** A replica's own OpenAPI document. Throws where it does not answer with one. */
export async function descriptionOf(replica: Replica): Promise<ApiDescription> {
  const signal = AbortSignal.timeout(DESCRIPTION_MS_MAX);
  const answer = await fetch(`http://${addressOf(replica)}/openapi.json`, { signal });
  const bytes = await answer.arrayBuffer();
  if (!answer.ok || bytes.byteLength > DESCRIPTION_BYTES_MAX)
    throw new Error(`${addressOf(replica)} does not describe its API: status ${answer.status}.`);
  return JSON.parse(Buffer.from(bytes).toString('utf8')) as ApiDescription;
}

const sorted = <T>(record: Record<string, T>): Record<string, T> =>
  Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));

/** One document of all; where two describe the same thing the first one's stands, as for the routes themselves. */
export function merged(descriptions: readonly ApiDescription[]): ApiDescription {
  const [first] = descriptions;
  if (first === undefined) throw new Error('There is no description to merge.');
  const kinds = new Set(descriptions.flatMap(({ components = {} }) => Object.keys(components)));
  const backwards = [...descriptions].reverse();
  const tags = new Map(backwards.flatMap(({ tags: list = [] }) => list.map((tag) => [tag.name, tag] as const)));
  return {
    ...first,
    paths: sorted(Object.assign({}, ...backwards.map(({ paths }) => paths)) as Record<string, unknown>),
    components: Object.fromEntries(
      [...kinds].map((kind) => [
        kind,
        sorted(
          Object.assign({}, ...backwards.map(({ components }) => components?.[kind] ?? {})) as Record<string, unknown>,
        ),
      ]),
    ),
    tags: [...tags.values()],
  };
}
