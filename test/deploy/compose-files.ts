import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

export interface Service {
  readonly image: string;
  readonly build?: { readonly context: string; readonly dockerfile: string; readonly args?: Record<string, string> };
  readonly user?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly secrets?: readonly string[];
  readonly volumes: readonly string[];
  readonly networks: readonly string[];
  readonly ports?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly stop_grace_period: string;
  readonly restart?: string;
}

export interface Composition {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks: Readonly<Record<string, { readonly internal?: boolean }>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
}

export const deployFolder = new URL('../../deploy/', import.meta.url);

/** One file as it stands, with YAML's own merge keys resolved and each `${NAME:-default}` at its default. */
export function composeFile(name: string): unknown {
  const atDefault = (_key: unknown, value: unknown): unknown =>
    typeof value === 'string' ? value.replaceAll(/\$\{\w+:-([^}]*)\}/g, '$1') : value;
  return parse(readFileSync(new URL(name, deployFolder), 'utf8'), atDefault, { merge: true });
}

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Compose joins maps and lists of files that are laid over each other; these it replaces. */
const REPLACED = new Set(['command', 'entrypoint', 'test']);

function laidOver(below: unknown, above: unknown, name = ''): unknown {
  if (isMap(below) && isMap(above))
    return Object.fromEntries(
      [...new Set([...Object.keys(below), ...Object.keys(above)])].map((key) => [
        key,
        key in above ? laidOver(below[key], above[key], key) : below[key],
      ]),
    );
  if (Array.isArray(below) && Array.isArray(above) && !REPLACED.has(name))
    return [...new Set<unknown>([...(below as unknown[]), ...(above as unknown[])])];
  return above;
}

/** What `docker compose -f a -f b` would run. */
export const composition = (...names: readonly string[]): Composition =>
  names.map(composeFile).reduce((below, above) => laidOver(below, above)) as Composition;
