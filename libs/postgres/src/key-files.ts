import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { inspect } from 'node:util';
import { createDurably, writeDurably } from './durable-file.js';

/** A key file that is no key file. The message names the file and what is wrong, never what stands in it. */
export class KeyFileInvalid extends Error {
  constructor(
    readonly file: string,
    fault: string,
  ) {
    super(`The key file ${file} is not valid: ${fault}.`);
    this.name = 'KeyFileInvalid';
  }
}

export type KeyKind = 'kek' | 'installation' | 'pepper';

/** The key files are not those that this database was written with. */
export class KeyFileMismatch extends Error {
  constructor(
    readonly file: string,
    readonly kind: KeyKind,
    /** Undefined where it is not about one version. */
    readonly version: string | undefined,
    readonly reason: 'file-missing' | 'version-missing' | 'different' | 'unchecked',
  ) {
    const what = kind === 'installation' ? 'the installation key' : `version ${version ?? ''} of the ${kind}`;
    const why = {
      'file-missing': 'it is missing, and the store is not empty: bring back the file that belongs to this store',
      'version-missing': `${what} is missing`,
      different: `${what} is not the one that this store was written with`,
      unchecked: 'the store is not empty but holds no check values to know the file by',
    }[reason];
    super(`The key file ${file} does not belong to this store: ${why}.`);
    this.name = 'KeyFileMismatch';
  }
}

const KEY_BYTES = 32;
const REDACTED = '[key material]';

/** Versioned keys of 32 bytes that no log, no JSON and no inspection shows. */
abstract class VersionedKeys {
  readonly #keys: ReadonlyMap<string, Buffer>;

  constructor(
    readonly current: string,
    keys: ReadonlyMap<string, Buffer>,
  ) {
    this.#keys = keys;
  }

  get versions(): string[] {
    return [...this.#keys.keys()];
  }

  protected key(version: string): Buffer | undefined {
    return this.#keys.get(version);
  }

  /** What tells this key from another without telling anything of it. */
  checkValue(version: string): Buffer | undefined {
    const key = this.#keys.get(version);
    return key === undefined ? undefined : checkValueOf(key);
  }

  toJSON(): string {
    return REDACTED;
  }

  [inspect.custom](): string {
    return REDACTED;
  }
}

export const checkValueOf = (key: Buffer): Buffer => createHmac('sha256', key).update('steward key check').digest();

/** What the keys service asks of its peppers. */
export interface Peppers {
  /** The version under which new verifiers are made. */
  readonly current: string;
  readonly versions: string[];
  /** HMAC-SHA-256(pepper, tokenDigest), 32 bytes; undefined for a version that is not there. `tokenDigest` is the SHA-256 of the token. */
  hmac(version: string, tokenDigest: Buffer): Buffer | undefined;
}

export class FilePeppers extends VersionedKeys implements Peppers {
  hmac(version: string, tokenDigest: Buffer): Buffer | undefined {
    if (tokenDigest.length !== KEY_BYTES) throw new TypeError('A token digest has 32 bytes.');
    const key = this.key(version);
    return key === undefined ? undefined : createHmac('sha256', key).update(tokenDigest).digest();
  }
}

const IV_BYTES = 12;
const TAG_BYTES = 16;

/** The key-encryption key in its versions: wraps data keys with AES-256-GCM, bound to their names. */
export class KeyEncryptionKeys extends VersionedKeys {
  /** iv, ciphertext and tag under the current version. */
  wrap(name: string, bytes: Buffer): Buffer {
    const key = this.key(this.current);
    if (key === undefined) throw new Error(`There is no version ${this.current} of the key-encryption key.`);
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(name, 'utf8'));
    return Buffer.concat([iv, cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
  }

  /** Undefined for a version that is not there; throws when the bytes belong to another name or were changed. */
  unwrap(version: string, name: string, wrapped: Buffer): Buffer | undefined {
    const key = this.key(version);
    if (key === undefined) return undefined;
    const decipher = createDecipheriv('aes-256-gcm', key, wrapped.subarray(0, IV_BYTES));
    decipher.setAAD(Buffer.from(name, 'utf8')).setAuthTag(wrapped.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(wrapped.subarray(IV_BYTES, -TAG_BYTES)), decipher.final()]);
  }
}

interface Parsed {
  readonly current: string;
  readonly keys: ReadonlyMap<string, Buffer>;
  readonly installationKey: Buffer | undefined;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function parseKey(file: string, name: string, text: unknown): Buffer {
  const bytes = typeof text === 'string' ? Buffer.from(text, 'base64') : undefined;
  if (bytes?.length !== KEY_BYTES || bytes.toString('base64') !== text)
    throw new KeyFileInvalid(file, `${name} is not 32 bytes in base64`);
  return bytes;
}

function parse(file: string, text: string, wantsInstallationKey: boolean): Parsed {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's own error quotes the text, which is the secret.
    throw new KeyFileInvalid(file, 'it is not JSON');
  }
  if (!isRecord(value)) throw new KeyFileInvalid(file, 'it is not an object');
  const { current, keys, installationKey } = value;
  if (!isRecord(keys)) throw new KeyFileInvalid(file, 'keys is not an object');
  const parsed = new Map<string, Buffer>();
  for (const [version, key] of Object.entries(keys)) {
    if (!/^[A-Za-z0-9._-]{1,32}$/.test(version))
      throw new KeyFileInvalid(file, 'a version is not [A-Za-z0-9._-]{1,32}');
    parsed.set(version, parseKey(file, `keys.${version}`, key));
  }
  if (typeof current !== 'string' || !parsed.has(current))
    throw new KeyFileInvalid(file, 'current names none of the keys');
  return {
    current,
    keys: parsed,
    installationKey: wantsInstallationKey ? parseKey(file, 'installationKey', installationKey) : undefined,
  };
}

export interface KeyFiles<Peppered extends FilePeppers | undefined = FilePeppers | undefined> {
  readonly kek: KeyEncryptionKeys;
  /** Undefined in a process that holds none. */
  readonly peppers: Peppered;
  /** 32 bytes; keep it out of logs. */
  readonly installationKey: Buffer;
}

export interface KeyFileOptions {
  readonly kekFile: string;
  /** Undefined where the process is to hold no peppers: then no file of them is read or made. */
  readonly pepperFile: string | undefined;
  /** True if the log has no event: only then are absent files made. */
  readonly storeIsEmpty: boolean;
}

/**
 * Reads the key files. Absent ones are made (0600, durable before this returns) while the store is empty; later
 * their absence is a KeyFileMismatch. Whether they belong to the database is for checkKeyFiles to say.
 */
export function loadOrCreateKeyFiles(
  options: KeyFileOptions & { readonly pepperFile: string },
): Promise<KeyFiles<FilePeppers>>;
export function loadOrCreateKeyFiles(options: KeyFileOptions): Promise<KeyFiles>;
export async function loadOrCreateKeyFiles({ kekFile, pepperFile, storeIsEmpty }: KeyFileOptions): Promise<KeyFiles> {
  const kek = await loadOrCreate(kekFile, 'kek', storeIsEmpty);
  const pepper = pepperFile === undefined ? undefined : await loadOrCreate(pepperFile, 'pepper', storeIsEmpty);
  return {
    kek: new KeyEncryptionKeys(kek.current, kek.keys),
    peppers: pepper && new FilePeppers(pepper.current, pepper.keys),
    installationKey: kek.installationKey as Buffer,
  };
}

async function loadOrCreate(file: string, kind: 'kek' | 'pepper', mayCreate: boolean): Promise<Parsed> {
  const found = await readIfPresent(file);
  if (found !== undefined) return parse(file, found, kind === 'kek');
  if (!mayCreate) throw new KeyFileMismatch(file, kind, undefined, 'file-missing');
  const key = (): string => randomBytes(KEY_BYTES).toString('base64');
  const made = { current: '1', keys: { '1': key() }, ...(kind === 'kek' ? { installationKey: key() } : {}) };
  const text = `${JSON.stringify(made, undefined, 2)}\n`;
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await createDurably(file, text, 0o600);
  // Of several that found a store at once, all go by what the quickest wrote.
  return loadOrCreate(file, kind, false);
}

async function readIfPresent(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw new KeyFileInvalid(file, `it cannot be read (${code ?? 'unknown error'})`);
  }
}

/** New secrets are made under it, so it stays. */
export class VersionIsCurrent extends Error {
  constructor(kind: 'kek' | 'pepper', version: string) {
    super(`Version ${version} of the ${kind} is the current one; make another one current first.`);
    this.name = 'VersionIsCurrent';
  }
}

/** What would take a version out of a key file, once it is called. Throws VersionIsCurrent, or KeyFileInvalid. */
export async function versionDropper(
  file: string,
  kind: 'kek' | 'pepper',
  version: string,
): Promise<() => Promise<void>> {
  const text = await readIfPresent(file);
  if (text === undefined) throw new KeyFileInvalid(file, 'it is missing');
  const { current, keys, installationKey } = parse(file, text, kind === 'kek');
  if (version === current) throw new VersionIsCurrent(kind, version);
  const left = [...keys].filter(([name]) => name !== version).map(([name, key]) => [name, key.toString('base64')]);
  const rest = {
    current,
    keys: Object.fromEntries(left) as Record<string, string>,
    ...(installationKey === undefined ? {} : { installationKey: installationKey.toString('base64') }),
  };
  return () => writeDurably(file, `${JSON.stringify(rest, undefined, 2)}\n`, 0o600);
}
