import { readFileSync } from 'node:fs';

export interface Host {
  readonly address: string;
  readonly port: number;
}

/** A connection string of EventStoreDB or KurrentDB, taken apart. Files are read when the client is made. */
export interface EventStoreUrl {
  readonly hosts: readonly Host[];
  /** The one host is a name that stands for the whole cluster. */
  readonly discovers: boolean;
  readonly credentials: { readonly username: string; readonly password: string } | undefined;
  readonly tls: boolean;
  readonly tlsCaFile: string | undefined;
  readonly userCertFile: string | undefined;
  readonly userKeyFile: string | undefined;
  readonly nodePreference: NodePreference;
  readonly connectionName: string;
  /** In ms; undefined = the client's own. */
  readonly keepAliveIntervalMs: number | undefined;
  readonly keepAliveTimeoutMs: number | undefined;
}

export const NODE_PREFERENCES = ['leader', 'follower', 'random', 'read_only_replica'] as const;
export type NodePreference = (typeof NODE_PREFERENCES)[number];

/** What is wrong with a connection string; never the string, for it holds a password. */
export class EventStoreUrlInvalid extends Error {
  constructor(problem: string) {
    super(`The connection string of the event store ${problem}.`);
    this.name = 'EventStoreUrlInvalid';
  }
}

const PROTOCOL = /^(?:esdb|kurrentdb|kurrent)(\+discover)?:\/\//i;
const DEFAULT_PORT = 2113;
/** What the client takes, and what it would not let us rely on: a failed append must throw, and each call has a timer here. */
const IGNORED = [
  'throwonappendfailure',
  'defaultdeadline',
  'maxdiscoverattempts',
  'discoveryinterval',
  'gossiptimeout',
];

/**
 * `esdb://`, `esdb+discover://` or the same with `kurrentdb`; `user:password@`; hosts parted by commas; options after `?`.
 * Throws EventStoreUrlInvalid.
 */
export function parseEventStoreUrl(text: string): EventStoreUrl {
  const protocol = PROTOCOL.exec(text.trim());
  if (protocol === null) throw new EventStoreUrlInvalid('must begin with esdb://, esdb+discover:// or kurrentdb://');
  const [place, query] = split(text.trim().slice(protocol[0].length), '?');
  const at = place.lastIndexOf('@');
  const hosts = place
    .slice(at + 1)
    .replace(/\/+$/, '')
    .split(',')
    .map(hostOf);
  const options = optionsOf(query);
  const tls = options.boolean('tls') ?? true;
  if (options.boolean('tlsverifycert') === false)
    throw new EventStoreUrlInvalid('cannot switch tlsVerifyCert off; name the certificate with tlsCAFile');
  const [userCertFile, userKeyFile] = [options.text('usercertfile'), options.text('userkeyfile')];
  if ((userCertFile === undefined) !== (userKeyFile === undefined))
    throw new EventStoreUrlInvalid('must name userCertFile and userKeyFile together');
  const parsed: EventStoreUrl = {
    hosts,
    discovers: protocol[1] !== undefined,
    credentials: at < 0 ? undefined : credentialsOf(place.slice(0, at)),
    tls,
    tlsCaFile: options.text('tlscafile'),
    userCertFile,
    userKeyFile,
    nodePreference: options.nodePreference(),
    connectionName: options.text('connectionname') ?? 'steward',
    keepAliveIntervalMs: options.integer('keepaliveinterval'),
    keepAliveTimeoutMs: options.integer('keepalivetimeout'),
  };
  options.assertKnown();
  return parsed;
}

const split = (text: string, mark: string): [string, string] => {
  const n = text.indexOf(mark);
  return n < 0 ? [text, ''] : [text.slice(0, n), text.slice(n + 1)];
};

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new EventStoreUrlInvalid('holds a percent sign that begins no escape; write it as %25');
  }
}

function hostOf(text: string): Host {
  const [, address, port = String(DEFAULT_PORT)] = /^([A-Za-z0-9._-]+)(?::(\d{1,5}))?$/.exec(text.trim()) ?? [];
  if (address === undefined || Number(port) < 1 || Number(port) > 65_535)
    throw new EventStoreUrlInvalid('must name hosts as name:port, parted by commas');
  return { address, port: Number(port) };
}

function credentialsOf(text: string): { username: string; password: string } {
  const [username, password] = split(text, ':');
  if (username === '' || password === '') throw new EventStoreUrlInvalid('must name both user and password before @');
  return { username: decoded(username), password: decoded(password) };
}

interface Options {
  text(name: string): string | undefined;
  boolean(name: string): boolean | undefined;
  integer(name: string): number | undefined;
  nodePreference(): NodePreference;
  assertKnown(): void;
}

function optionsOf(query: string): Options {
  const given = new Map<string, string>();
  const names = new Map<string, string>();
  for (const pair of query.split('&').filter((one) => one !== '')) {
    const [name, value] = split(pair, '=');
    given.set(name.toLowerCase(), decoded(value));
    names.set(name.toLowerCase(), name);
  }
  const read = new Set(IGNORED);
  const text = (name: string): string | undefined => {
    read.add(name);
    return given.get(name);
  };
  const wrong = (name: string, form: string): EventStoreUrlInvalid =>
    new EventStoreUrlInvalid(`must give ${names.get(name) ?? name} as ${form}`);
  return {
    text,
    boolean: (name) => {
      const value = text(name);
      if (value !== undefined && value !== 'true' && value !== 'false') throw wrong(name, 'true or false');
      return value === undefined ? undefined : value === 'true';
    },
    integer: (name) => {
      const value = text(name);
      if (value !== undefined && !/^\d{1,9}$/.test(value)) throw wrong(name, 'a number of milliseconds');
      return value === undefined ? undefined : Number(value);
    },
    nodePreference: () => {
      const value = text('nodepreference')?.toLowerCase().replaceAll(/[_-]/g, '') ?? 'leader';
      const found = NODE_PREFERENCES.find((one) => one.replaceAll('_', '') === value);
      if (found === undefined) throw wrong('nodepreference', 'leader, follower, random or readOnlyReplica');
      return found;
    },
    assertKnown: () => {
      const unknown = [...names].filter(([name]) => !read.has(name)).map(([, name]) => name);
      if (unknown.length > 0) throw new EventStoreUrlInvalid(`has options that mean nothing: ${unknown.join(', ')}`);
    },
  };
}

/** The certificates that a connection string names. Throws EventStoreUrlInvalid for a file that cannot be read. */
export function certificatesOf(url: EventStoreUrl): { ca?: Buffer; cert?: Buffer; key?: Buffer } {
  const read = (option: string, file: string): Buffer => {
    try {
      return readFileSync(file);
    } catch {
      throw new EventStoreUrlInvalid(`names a file for ${option} that cannot be read`);
    }
  };
  return {
    ...(url.tlsCaFile === undefined ? {} : { ca: read('tlsCAFile', url.tlsCaFile) }),
    ...(url.userCertFile === undefined ? {} : { cert: read('userCertFile', url.userCertFile) }),
    ...(url.userKeyFile === undefined ? {} : { key: read('userKeyFile', url.userKeyFile) }),
  };
}
