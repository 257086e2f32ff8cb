import type pg from 'pg';
import {
  checkValueOf,
  type FilePeppers,
  type KeyFileOptions,
  KeyFileMismatch,
  type KeyFiles,
  type KeyKind,
  versionDropper,
} from './key-files.js';

type Database = pg.ClientBase | pg.Pool;

interface Checked {
  readonly kind: KeyKind;
  readonly file: string;
  readonly values: ReadonlyMap<string, Buffer>;
}

/** The installation key is never rotated, so it has one version. */
const ONLY = '1';

function checkedOf(files: KeyFiles, { kekFile, pepperFile }: KeyFileOptions): Checked[] {
  const valuesOf = (keys: KeyFiles['kek'] | FilePeppers): ReadonlyMap<string, Buffer> =>
    new Map(keys.versions.map((version) => [version, keys.checkValue(version) as Buffer]));
  return [
    { kind: 'kek', file: kekFile, values: valuesOf(files.kek) },
    { kind: 'installation', file: kekFile, values: new Map([[ONLY, checkValueOf(files.installationKey)]]) },
    ...(files.peppers === undefined || pepperFile === undefined
      ? []
      : [{ kind: 'pepper' as const, file: pepperFile, values: valuesOf(files.peppers) }]),
  ];
}

async function standing(database: Database): Promise<{ kind: string; version: string; check_value: Buffer }[]> {
  const { rows } = await database.query<{ kind: string; version: string; check_value: Buffer }>(
    'select kind, version, check_value from ledger.key_checks',
  );
  return rows;
}

/**
 * Holds the files against the check values in the database and adds those of new versions. Throws KeyFileMismatch: for a
 * version that is missing or different, and for a store that is not empty and has no check values.
 */
export async function checkKeyFiles(database: Database, files: KeyFiles, options: KeyFileOptions): Promise<void> {
  const before = await standing(database);
  for (const { kind, file, values } of checkedOf(files, options)) {
    const known = before.filter((row) => row.kind === kind);
    if (known.length === 0 && !options.storeIsEmpty) throw new KeyFileMismatch(file, kind, undefined, 'unchecked');
    compare(kind, file, values, known);
    const added = [...values].filter(([version]) => !known.some((row) => row.version === version));
    if (added.length === 0) continue;
    await database.query(
      `insert into ledger.key_checks (kind, version, check_value)
       select $1, u.version, u.check_value from unnest($2::text[], $3::bytea[]) as u (version, check_value)
       on conflict do nothing`,
      [kind, added.map(([version]) => version), added.map(([, value]) => value)],
    );
    // Of two that started at once with files of their own, the second must learn that the first's stand.
    const now = await standing(database);
    compare(
      kind,
      file,
      values,
      now.filter((row) => row.kind === kind),
    );
  }
}

function compare(
  kind: KeyKind,
  file: string,
  values: ReadonlyMap<string, Buffer>,
  known: readonly { version: string; check_value: Buffer }[],
): void {
  for (const { version, check_value } of known) {
    const value = values.get(version);
    if (value === undefined) throw new KeyFileMismatch(file, kind, version, 'version-missing');
    if (!value.equals(check_value)) throw new KeyFileMismatch(file, kind, version, 'different');
  }
}

/** A version that is still needed stays. */
export class VersionInUse extends Error {
  constructor(kind: 'kek' | 'pepper', version: string, uses: number) {
    super(`Version ${version} of the ${kind} is used by ${uses} ${kind === 'kek' ? 'data keys' : 'verifiers'}.`);
    this.name = 'VersionInUse';
  }
}

/**
 * Drops a version from the database and from the file, as the owner's role. `pepperUses` counts the verifiers of a
 * pepper's version, which only the keys service knows. Throws VersionInUse or VersionIsCurrent.
 */
export async function retireVersion(
  owner: Database,
  kind: 'kek' | 'pepper',
  version: string,
  file: string,
  pepperUses: () => Promise<number> = () => Promise.resolve(0),
): Promise<void> {
  const drop = await versionDropper(file, kind, version);
  const uses = kind === 'kek' ? await dataKeysUnder(owner, version) : await pepperUses();
  if (uses > 0) throw new VersionInUse(kind, version, uses);
  // The file first would leave a start that is refused, should this process die in between.
  await owner.query('delete from ledger.key_checks where kind = $1 and version = $2', [kind, version]);
  await drop();
}

async function dataKeysUnder(database: Database, version: string): Promise<number> {
  const { rows } = await database.query<{ uses: number }>(
    'select count(*)::int as uses from ledger.data_keys where kek_version = $1 and destroyed_at is null',
    [version],
  );
  return rows[0]?.uses ?? 0;
}
