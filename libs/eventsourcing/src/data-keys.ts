import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import type { SealedPart } from './event-store.js';

/** A 256-bit key that seals the private parts of one owner, and whose destruction erases them in every copy. */
export interface DataKey {
  /** `<owner>#<16 random hex>`: an owner that gets a new key never meets an old name again. */
  readonly name: string;
  readonly bytes: Buffer;
}

/** Where data keys stand, apart from the log. An opened key is cached 60 s at most. */
export interface DataKeys {
  /** The standing key of each owner, made where there is none. Only what was read back from the store is answered. */
  obtain(owners: readonly string[]): Promise<ReadonlyMap<string, DataKey>>;
  /** By name: the bytes, or what became of them. */
  open(names: readonly string[]): Promise<ReadonlyMap<string, Buffer | 'destroyed' | 'missing'>>;
  /** Destroys by exact name; repeating it changes nothing. */
  destroy(names: readonly string[]): Promise<void>;
  /** The names that stand for an owner now (none or one). */
  standing(owner: string): Promise<readonly string[]>;
}

const associatedData = (stream: string, revision: number, part: string, key: string): Buffer =>
  Buffer.from(`${stream}\n${revision}\n${part}\n${key}`, 'utf8');

export const randomIv = (): Buffer => randomBytes(12);

/** AES-256-GCM under a 96-bit IV; the place in the log and the key's name are authenticated with it. */
export function sealPart(
  key: DataKey,
  iv: Buffer,
  stream: string,
  revision: number,
  part: string,
  plaintext: string,
): SealedPart {
  const cipher = createCipheriv('aes-256-gcm', key.bytes, iv);
  cipher.setAAD(associatedData(stream, revision, part, key.name));
  const ciphertext = Buffer.concat([cipher.update(plaintext, 'utf8'), cipher.final()]);
  return {
    key: key.name,
    iv: iv.toString('base64'),
    ciphertext: ciphertext.toString('base64'),
    tag: cipher.getAuthTag().toString('base64'),
  };
}

/** Throws when the bytes, the place or the key do not belong together. */
export function openPart(bytes: Buffer, stream: string, revision: number, part: string, sealed: SealedPart): string {
  const decipher = createDecipheriv('aes-256-gcm', bytes, Buffer.from(sealed.iv, 'base64'));
  decipher.setAAD(associatedData(stream, revision, part, sealed.key));
  decipher.setAuthTag(Buffer.from(sealed.tag, 'base64'));
  return decipher.update(sealed.ciphertext, 'base64', 'utf8') + decipher.final('utf8');
}

/** Hex SHA-256 of iv, ciphertext and tag: what the envelope says of the part. */
export function sealedHash(sealed: SealedPart): string {
  return createHash('sha256')
    .update(Buffer.from(sealed.iv, 'base64'))
    .update(Buffer.from(sealed.ciphertext, 'base64'))
    .update(Buffer.from(sealed.tag, 'base64'))
    .digest('hex');
}

/** Data keys in memory, for tests and for the memory store. */
export class MemoryDataKeys implements DataKeys {
  private readonly byName = new Map<string, Buffer | null>();
  private readonly byOwner = new Map<string, DataKey>();

  obtain(owners: readonly string[]): Promise<ReadonlyMap<string, DataKey>> {
    const keys = new Map<string, DataKey>();
    for (const owner of owners) {
      let key = this.byOwner.get(owner);
      if (key === undefined) {
        key = { name: `${owner}#${randomBytes(8).toString('hex')}`, bytes: randomBytes(32) };
        this.byOwner.set(owner, key);
        this.byName.set(key.name, key.bytes);
      }
      keys.set(owner, key);
    }
    return Promise.resolve(keys);
  }

  open(names: readonly string[]): Promise<ReadonlyMap<string, Buffer | 'destroyed' | 'missing'>> {
    return Promise.resolve(
      new Map(
        names.map((name) => {
          const bytes = this.byName.get(name);
          return [name, bytes === undefined ? 'missing' : (bytes ?? 'destroyed')] as const;
        }),
      ),
    );
  }

  destroy(names: readonly string[]): Promise<void> {
    for (const name of names) {
      if (!this.byName.has(name)) continue;
      this.byName.set(name, null);
      const owner = name.slice(0, name.lastIndexOf('#'));
      if (this.byOwner.get(owner)?.name === name) this.byOwner.delete(owner);
    }
    return Promise.resolve();
  }

  standing(owner: string): Promise<readonly string[]> {
    const key = this.byOwner.get(owner);
    return Promise.resolve(key === undefined ? [] : [key.name]);
  }
}
