import { createHash, createHmac } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { FilePeppers, KeyEncryptionKeys, loadOrCreateKeyFiles } from './key-files.js';

const SECRET = Buffer.alloc(32, 'canary');
const OTHER = Buffer.alloc(32, 7);
const digest = createHash('sha256').update('token').digest();

describe('The key files', () => {
  let folder: string;
  const options = (storeIsEmpty: boolean) => ({
    kekFile: join(folder, 'keys', 'kek.json'),
    pepperFile: join(folder, 'keys', 'pepper.json'),
    storeIsEmpty,
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'steward-keys-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('are made for an empty store, for their owner only, and read alike afterwards', async () => {
    const made = await loadOrCreateKeyFiles(options(true));
    const read = await loadOrCreateKeyFiles(options(false));

    expect(read.installationKey.equals(made.installationKey)).toBe(true);
    expect(read.peppers.hmac('1', digest)).toEqual(made.peppers.hmac('1', digest));
    expect([made.kek.current, made.peppers.current]).toEqual(['1', '1']);
    expect(await readdir(join(folder, 'keys'))).toEqual(['kek.json', 'pepper.json']);
    for (const file of [options(true).kekFile, options(true).pepperFile])
      expect((await stat(file)).mode & 0o777).toBe(0o600);
    const kek = JSON.parse(await readFile(options(true).kekFile, 'utf8')) as object;
    expect(Object.keys(kek)).toEqual(['current', 'keys', 'installationKey']);
  });

  it('are the same for all who found a store at once', async () => {
    const all = await Promise.all(Array.from({ length: 8 }, () => loadOrCreateKeyFiles(options(true))));
    const read = await loadOrCreateKeyFiles(options(false));
    for (const { installationKey, peppers } of all) {
      expect(installationKey.equals(read.installationKey)).toBe(true);
      expect(peppers.hmac('1', digest)).toEqual(read.peppers.hmac('1', digest));
    }
    expect(await readdir(join(folder, 'keys'))).toEqual(['kek.json', 'pepper.json']);
  });

  it('are one without the peppers, where the process is to hold none', async () => {
    const made = await loadOrCreateKeyFiles({ ...options(true), pepperFile: undefined });
    expect(made.peppers).toBeUndefined();
    expect(await readdir(join(folder, 'keys'))).toEqual(['kek.json']);
  });

  it('are never made for a store that is not empty', async () => {
    await expect(loadOrCreateKeyFiles(options(false))).rejects.toMatchObject({
      name: 'KeyFileMismatch',
      kind: 'kek',
      reason: 'file-missing',
      file: options(false).kekFile,
    });
    expect(await readdir(folder)).toEqual([]);
  });

  it.each([
    ['no JSON', `{"current": "1", "keys": {"1": ${SECRET.toString('base64')}`],
    ['no keys', '{"current": "1"}'],
    ['a short key', `{"current": "1", "keys": {"1": "${SECRET.toString('base64').slice(0, 20)}"}}`],
    ['a key that is not base64', `{"current": "1", "keys": {"1": "${'*'.repeat(44)}"}}`],
    ['a current version that is not there', `{"current": "2", "keys": {"1": "${SECRET.toString('base64')}"}}`],
    ['a version of a wrong form', `{"current": "1", "keys": {"a b": "${SECRET.toString('base64')}"}}`],
    ['no installation key', `{"current": "1", "keys": {"1": "${SECRET.toString('base64')}"}}`],
    ['a list', '[]'],
  ])('with %s are refused by name, and the message shows nothing of them', async (_, text) => {
    await loadOrCreateKeyFiles(options(true));
    await writeFile(options(true).kekFile, text);
    const error = await loadOrCreateKeyFiles(options(true)).catch((caught: unknown) => caught);

    expect(error).toMatchObject({ name: 'KeyFileInvalid', file: options(true).kekFile });
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(SECRET.toString('base64').slice(0, 16));
  });
});

describe('Keys in memory', () => {
  it('print nothing of themselves', () => {
    for (const keys of [
      new FilePeppers('1', new Map([['1', SECRET]])),
      new KeyEncryptionKeys('1', new Map([['1', SECRET]])),
    ]) {
      const printed = [inspect(keys, { depth: 9, showHidden: true }), JSON.stringify({ keys })].join();
      expect(printed).not.toMatch(/canary|63 ?61 ?6e|Y2FuYXJ5/);
    }
  });

  it('make a verifier as the HMAC-SHA-256 of the digest under the pepper', () => {
    const peppers = new FilePeppers('2', new Map([['1', SECRET], ['2', OTHER]])); // prettier-ignore
    expect(peppers.hmac('1', digest)).toEqual(createHmac('sha256', SECRET).update(digest).digest());
    expect(peppers.hmac('2', digest)).not.toEqual(peppers.hmac('1', digest));
    expect(peppers.hmac('3', digest)).toBeUndefined();
    expect(() => peppers.hmac('1', Buffer.from('token'))).toThrow(TypeError);
    expect(peppers.versions).toEqual(['1', '2']);
  });

  it('wrap a data key for its name alone, each time with other bytes', () => {
    const kek = new KeyEncryptionKeys('1', new Map([['1', SECRET]]));
    const wrapped = kek.wrap('user:alice#00', OTHER);

    expect(kek.unwrap('1', 'user:alice#00', wrapped)).toEqual(OTHER);
    expect(kek.unwrap('2', 'user:alice#00', wrapped)).toBeUndefined();
    expect(() => kek.unwrap('1', 'user:bob#00', wrapped)).toThrow();
    expect(kek.wrap('user:alice#00', OTHER).equals(wrapped)).toBe(false);
    expect(wrapped).toHaveLength(60);
  });
});
