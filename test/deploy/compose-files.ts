import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { type AppConfig, loadConfig } from '#libs/platform';
import { imageEnvironment } from './dockerfile.js';

export interface Service {
  readonly image: string;
  readonly build?: { readonly context: string; readonly dockerfile: string; readonly args?: Record<string, string> };
  readonly user?: string;
  readonly command?: readonly string[];
  readonly profiles?: readonly string[];
  readonly deploy?: { readonly replicas: number };
  readonly environment?: Readonly<Record<string, string>>;
  readonly secrets?: readonly string[];
  readonly volumes: readonly string[];
  readonly networks: readonly string[] | Readonly<Record<string, Attachment>>;
  readonly ports?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test?: readonly string[]; readonly disable?: boolean };
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly stop_grace_period: string;
  readonly tmpfs?: readonly string[];
  readonly restart?: string;
}

interface Attachment {
  readonly aliases?: readonly string[];
  readonly ipv4_address?: string;
}

export interface Network {
  readonly internal?: boolean;
  readonly ipam?: { readonly config: readonly { readonly subnet: string; readonly ip_range: string }[] };
}

export interface Composition {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks: Readonly<Record<string, Network>>;
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

/** What `docker compose -f a -f b up` would run: without what rests in a profile. */
export function composition(...names: readonly string[]): Composition {
  const all = names.map(composeFile).reduce((below, above) => laidOver(below, above)) as Composition;
  const services = Object.entries(all.services).filter(([, { profiles }]) => profiles === undefined);
  return { ...all, services: Object.fromEntries(services) };
}

export const repositoryOf = (service: Service): string => service.image.split(':')[0] ?? '';
export const environmentOf = (service: Service): Readonly<Record<string, string>> => service.environment ?? {};

export const serviceOf = ({ services }: Composition, name: string): Service => {
  const found = services[name];
  if (found === undefined) throw new Error(`There is no service ${name}.`);
  return found;
};

/** The services that run an image, by name. */
export const nodesOf = ({ services }: Composition, repository: string): [string, Service][] =>
  Object.entries(services).filter(([, service]) => repositoryOf(service) === repository);

export const attachmentsOf = ({ networks }: Service): Readonly<Record<string, Attachment>> =>
  isList(networks) ? Object.fromEntries(networks.map((name) => [name, {}])) : networks;

const isList = (networks: Service['networks']): networks is readonly string[] => Array.isArray(networks);

export const mountsOf = (service: Service): { source: string; target: string; isReadOnly: boolean }[] =>
  service.volumes.map((mount) => {
    const [source = '', target = '', mode] = mount.split(':');
    return { source, target, isReadOnly: mode === 'ro' };
  });

const IMAGE_MAIN = 'dist/services/steward/src/main.js';

/** Which program of Steward's image a service runs: `steward` (all in one), `cli`, `keys`... */
export const programOf = ({ command = [IMAGE_MAIN] }: Service): string =>
  /^dist\/services\/(\w+)\/src\/main\.js$/.exec(command[0] ?? '')?.[1] ?? '';

/** What the program of a service reads where this composition runs it; its secrets stand in `secretsFolder`. */
export function configIn(composed: Composition, name: string, secretsFolder: string): AppConfig {
  const environment = Object.entries({ ...imageEnvironment(), ...environmentOf(serviceOf(composed, name)) });
  return loadConfig(
    Object.fromEntries(environment.map(([key, value]) => [key, value.replace('/run/secrets', secretsFolder)])),
  );
}

/** Has `make-secrets.mjs` make the secrets; whoever asks removes the folder. */
export function makeSecrets(): string {
  const folder = mkdtempSync(join(tmpdir(), 'steward-secrets-'));
  execFileSync(process.execPath, [fileURLToPath(new URL('make-secrets.mjs', deployFolder)), folder]);
  return folder;
}
