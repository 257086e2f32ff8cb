import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { EventStoreUrlInvalid, parseEventStoreUrl } from '#libs/kurrentdb';
import { type OidcIssuer, readIssuers } from '../oidc/issuers.js';
import { SecretText } from './secret-text.js';

export type Environment = Readonly<Record<string, string | undefined>>;

/** What tests and benchmarks read for themselves. */
const FOREIGN = /^STEWARD_(TEST_|SEED$|BENCH_)/;

/** Reads variables and gathers what is wrong with them; it never shows a value, which may be a secret in the wrong place. */
export class Reader {
  readonly problems: string[] = [];
  private readonly known = new Set<string>();

  constructor(private readonly env: Environment) {}

  /** An empty variable counts as unset, as compose files leave them. */
  text(name: string): string | undefined {
    this.known.add(name);
    const value = this.env[name]?.trim();
    return value === '' ? undefined : value;
  }

  integer(name: string, min: number, max: number, otherwise: number): number {
    const text = this.text(name);
    if (text === undefined) return otherwise;
    const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
    if (value >= min && value <= max) return value;
    this.problems.push(`${name} must be an integer from ${min} to ${max}.`);
    return otherwise;
  }

  oneOf<T extends string>(name: string, values: readonly T[], otherwise: T): T {
    const text = this.text(name);
    const value = values.find((one) => one === text);
    if (text !== undefined && value === undefined) this.problems.push(`${name} must be one of ${values.join(', ')}.`);
    return value ?? otherwise;
  }

  checked(name: string, isRight: (text: string) => boolean, form: string): string | undefined {
    const text = this.text(name);
    if (text === undefined || isRight(text)) return text;
    this.problems.push(`${name} must be ${form}.`);
    return undefined;
  }

  /** A JSON list, or the path of a file that holds one. */
  issuers(name: string): readonly OidcIssuer[] {
    const text = this.text(name);
    if (text === undefined) return [];
    try {
      const { issuers, problems } = readIssuers(text.startsWith('[') ? text : readFileSync(text, 'utf8'), name);
      this.problems.push(...problems);
      return issuers;
    } catch {
      this.problems.push(`${name} must be a JSON list of issuers, or the path of a readable file that holds one.`);
      return [];
    }
  }

  /** `host:port` each, as they stand in the text; empty where it is unset. */
  addresses(name: string, form: string): readonly string[] {
    const isList = (text: string): boolean => listOf(text).length > 0 && listOf(text).every(isHostAndPort);
    return [...new Set(listOf(this.checked(name, isList, form)))];
  }

  /** The bytes of a file that several processes share. */
  key(name: string): SecretText | undefined {
    const path = this.text(name);
    const key = path === undefined ? undefined : readKey(path);
    if (path !== undefined && key === undefined)
      this.problems.push(`${name} must be the path of a readable file of 32 bytes to 64 KiB.`);
    return key;
  }

  /** From the variable, or from the file that `<name>_FILE` names: an environment is shown to whoever may inspect a container. */
  private secret(name: string): string | undefined {
    const text = this.text(name);
    const file = this.text(`${name}_FILE`);
    if (file === undefined) return text;
    if (text !== undefined) this.problems.push(`${name} and ${name}_FILE must not be set together.`);
    try {
      const held = readFileSync(file, 'utf8').trim();
      if (held !== '') return held;
    } catch {
      // Said below, and without the path, which may be a secret that went into the wrong variable.
    }
    this.problems.push(`${name}_FILE must be the path of a readable file that is not empty.`);
    return undefined;
  }

  databaseUrl(name: string): SecretText | undefined {
    const text = this.secret(name);
    if (text === undefined) return undefined;
    if (isPostgresUrl(text)) return new SecretText(text);
    this.problems.push(`${name} must be a URL that begins with postgres:// or postgresql://.`);
    return undefined;
  }

  eventStoreUrl(name: string): SecretText | undefined {
    const text = this.secret(name);
    if (text === undefined) return undefined;
    try {
      parseEventStoreUrl(text);
      return new SecretText(text);
    } catch (error) {
      // The message names what is wrong and nothing of the text.
      this.problems.push(`${name}: ${error instanceof EventStoreUrlInvalid ? error.message : 'cannot be read.'}`);
      return undefined;
    }
  }

  unknown(): string[] {
    return Object.keys(this.env)
      .filter((name) => name.startsWith('STEWARD_') && !this.known.has(name) && !FOREIGN.test(name))
      .sort();
  }
}

export const HOST_NAME = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/;

const isPostgresUrl = (text: string): boolean =>
  URL.canParse(text) && ['postgres:', 'postgresql:'].includes(new URL(text).protocol);

export const isAddressRange = (text: string): boolean =>
  isIP(text) !== 0 || ipaddr.IPv4.isValidCIDR(text) || ipaddr.IPv6.isValidCIDR(text);

const isHostAndPort = (text: string): boolean => {
  const [, host = '', port = ''] = /^(.+):(\d{1,5})$/.exec(text) ?? [];
  const bare = /^\[(.+)\]$/.exec(host)?.[1];
  return (bare === undefined ? HOST_NAME.test(host) : isIP(bare) === 6) && Number(port) >= 1 && Number(port) <= 65_535;
};

export function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function readKey(path: string): SecretText | undefined {
  try {
    const bytes = readFileSync(path);
    return bytes.length >= 32 && bytes.length <= 65_536 ? new SecretText(bytes.toString('latin1')) : undefined;
  } catch {
    return undefined;
  }
}

export const listOf = (text: string | undefined): string[] =>
  (text ?? '')
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');

export const rangeOf = (text: string): string => (text.includes('/') ? text : `${text}/${isIP(text) === 4 ? 32 : 128}`);
