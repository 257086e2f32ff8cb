import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { checkKeyFiles, retireVersion } from './key-checks.js';
import { loadOrCreateKeyFiles } from './key-files.js';
import { type EmbeddedLedger, startEmbeddedLedger } from './testing/embedded-ledger.js';

interface FileContent {
  current: string;
  keys: Record<string, string>;
  installationKey?: string;
}

let ledger: EmbeddedLedger;
let owner: pg.Pool;
let program: pg.Pool;
let folder: string;
const file = (name: 'kek' | 'pepper'): string => join(folder, `${name}.json`);
const start = async (storeIsEmpty: boolean): Promise<void> => {
  const options = { kekFile: file('kek'), pepperFile: file('pepper'), storeIsEmpty };
  await checkKeyFiles(program, await loadOrCreateKeyFiles(options), options);
};
const key = (): string => randomBytes(32).toString('base64');
const change = async (name: 'kek' | 'pepper', to: (content: FileContent) => void): Promise<void> => {
  const content = JSON.parse(await readFile(file(name), 'utf8')) as FileContent;
  to(content);
  await writeFile(file(name), JSON.stringify(content));
};

beforeAll(async () => {
  ledger = await startEmbeddedLedger();
  owner = new pg.Pool(ledger.owner);
  program = new pg.Pool(ledger.program);
});
afterAll(async () => {
  await owner.end();
  await program.end();
  await ledger.stop();
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'steward-keys-'));
  await owner.query('delete from ledger.key_checks');
  await start(true);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('The check values of the key files', () => {
  it('stand in the database after the first start, and let the same files pass', async () => {
    const { rows } = await program.query('select kind, version from ledger.key_checks order by kind');
    expect(rows).toEqual(['installation', 'kek', 'pepper'].map((kind) => ({ kind, version: '1' })));
    await start(false);
  });

  it.each([
    ['kek', 'kek', (content: FileContent) => (content.keys['1'] = key())],
    ['kek', 'installation', (content: FileContent) => (content.installationKey = key())],
    ['pepper', 'pepper', (content: FileContent) => (content.keys['1'] = key())],
  ] as const)('refuse a %s file with another %s key', async (name, kind, to) => {
    await change(name, to);
    const error: unknown = await start(false).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ name: 'KeyFileMismatch', kind, version: '1', reason: 'different', file: file(name) });
  });

  it('refuse a file that has lost a version', async () => {
    await change('pepper', (content) => Object.assign(content, { current: '2', keys: { '2': key() } }));
    await expect(start(false)).rejects.toMatchObject({ kind: 'pepper', version: '1', reason: 'version-missing' });
  });

  it('refuse files made anew, even while the store is empty', async () => {
    await rm(file('pepper'));
    await expect(start(false)).rejects.toMatchObject({ kind: 'pepper', reason: 'file-missing' });
    await expect(start(true)).rejects.toMatchObject({ kind: 'pepper', reason: 'different' });
  });

  it('must be there when the store is not empty', async () => {
    await owner.query('delete from ledger.key_checks');
    await expect(start(false)).rejects.toMatchObject({ name: 'KeyFileMismatch', kind: 'kek', reason: 'unchecked' });
  });

  it('are added for a new version, and dropped with a version that nothing uses', async () => {
    await change('pepper', (content) =>
      Object.assign(content, { current: '2', keys: { ...content.keys, '2': key() } }),
    );
    await start(false);
    await expect(retireVersion(owner, 'pepper', '1', file('pepper'), () => Promise.resolve(3))).rejects.toThrow(
      'Version 1 of the pepper is used by 3 verifiers.',
    );
    await expect(retireVersion(owner, 'pepper', '2', file('pepper'))).rejects.toThrow('is the current one');

    await retireVersion(owner, 'pepper', '1', file('pepper'));
    expect(Object.keys((JSON.parse(await readFile(file('pepper'), 'utf8')) as FileContent).keys)).toEqual(['2']);
    await start(false);
  });

  it('cannot be changed by the program', async () => {
    await expect(program.query('delete from ledger.key_checks')).rejects.toThrow('permission denied');
    await expect(program.query(`update ledger.key_checks set version = '2'`)).rejects.toThrow('permission denied');
  });
});
