import type { KeyOwnerType, Role } from '#libs/contracts';
import { type KeyName, KeyNameTable } from './key-names.js';

/**
 * The rows of the verification index: typed arrays in chunks, so that the garbage collector never looks at a key and
 * growing never copies one. What few keys have or many share stands beside them (VerificationIndex).
 */

/** RFC 2104, section 5: half the output is the least that an HMAC is cut to, and 128 bits leave nothing to guess. */
export const VERIFIER_BYTES = 16;

const CHUNK_BITS = 12;
const CHUNK_ROWS = 1 << CHUNK_BITS;

const ownerTypes: readonly KeyOwnerType[] = ['user', 'service', 'project'];
const roles: readonly Role[] = ['tenant_user', 'tenant_admin', 'platform_admin', 'tenant_owner', 'auditor', 'service'];

const DISABLED = 1;
const REVOKED = 1 << 1;
const DELETED = 1 << 2;
const IMPORTED = 1 << 3;
const MANAGES_KEYS = 1 << 4;
const HAS_VERIFIER = 1 << 5;
const HAS_EXTRAS = 1 << 6;
const OWNER_TYPE_SHIFT = 7;
const ROLE_SHIFT = 9;
const VERSION_SHIFT = 12;
const SECRET_VERSION_MAX = 2 ** (32 - VERSION_SHIFT) - 1;

/** Times are 48 bits of ms, which lasts beyond the year 9999 and is a quarter less than a double. */
const LOW_WORD = 2 ** 32;
const NEVER_HIGH = 0xffff;
const LIFETIME_DAYS_MAX = 0xffff;
const DAY_MS = 86_400_000;

/** The cells of a row. Together they are 64 bytes, what a processor fetches at once, so a key costs one trip to memory. */
const NAME = 0;
const VERIFIER = 3;
const CREATED_LOW = 7;
const EXPIRES_LOW = 8;
/** Of the creation in the lower half, of the expiry in the upper. */
const HIGHS = 9;
const REVISION = 10;
const PLACE = 11;
const OWNER = 12;
const PROFILE = 13;
/** Flags, owner type and role in the low 12 bits, the version of the newest secret above them. */
const STATE = 14;
/** The lifetime in days in the lower half, the pepper's number above it. */
const LIFETIME_AND_PEPPER = 15;
const ROW_CELLS = 16;

// The bytes of a verifier on their way to and from cells; every use is over before the next begins.
const passing = new Uint32Array(VERIFIER_BYTES / 4);
const passingBytes = new Uint8Array(passing.buffer);

/** One key's cells. It is made for a moment's use; nothing is copied until it is asked for. */
export class KeyRow {
  private readonly from: number;

  constructor(
    private readonly cells: Uint32Array,
    readonly number: number,
  ) {
    this.from = (number & (CHUNK_ROWS - 1)) * ROW_CELLS;
  }

  get revision(): number {
    return this.cell(REVISION);
  }
  set revision(revision: number) {
    this.setCell(REVISION, revision);
  }

  get place(): number {
    return this.cell(PLACE);
  }
  set place(place: number) {
    this.setCell(PLACE, place);
  }

  get owner(): number {
    return this.cell(OWNER);
  }
  set owner(owner: number) {
    this.setCell(OWNER, owner);
  }

  get profile(): number {
    return this.cell(PROFILE);
  }
  set profile(profile: number) {
    this.setCell(PROFILE, profile);
  }

  /** The number of the pepper's version. */
  get pepper(): number {
    return this.cell(LIFETIME_AND_PEPPER) >>> 16;
  }
  set pepper(pepper: number) {
    this.setCell(LIFETIME_AND_PEPPER, this.lifetimeDays | (pepper << 16));
  }

  get disabled(): boolean {
    return this.has(DISABLED);
  }
  set disabled(disabled: boolean) {
    this.mark(DISABLED, disabled);
  }

  get revoked(): boolean {
    return this.has(REVOKED);
  }
  set revoked(revoked: boolean) {
    this.mark(REVOKED, revoked);
  }

  get deleted(): boolean {
    return this.has(DELETED);
  }
  set deleted(deleted: boolean) {
    this.mark(DELETED, deleted);
  }

  get imported(): boolean {
    return this.has(IMPORTED);
  }
  set imported(imported: boolean) {
    this.mark(IMPORTED, imported);
  }

  get canManageKeys(): boolean {
    return this.has(MANAGES_KEYS);
  }
  set canManageKeys(canManageKeys: boolean) {
    this.mark(MANAGES_KEYS, canManageKeys);
  }

  get hasExtras(): boolean {
    return this.has(HAS_EXTRAS);
  }
  set hasExtras(hasExtras: boolean) {
    this.mark(HAS_EXTRAS, hasExtras);
  }

  get ownerType(): KeyOwnerType {
    return ownerTypes[(this.state >>> OWNER_TYPE_SHIFT) & 3] ?? 'user';
  }
  /** The role at creation or transfer; today's stands in the access index. */
  get ownerRole(): Role {
    return roles[(this.state >>> ROLE_SHIFT) & 7] ?? 'tenant_user';
  }
  setOwnerKind(type: KeyOwnerType, role: Role): void {
    const kind = (ownerTypes.indexOf(type) << OWNER_TYPE_SHIFT) | (roles.indexOf(role) << ROLE_SHIFT);
    const others = ~((3 << OWNER_TYPE_SHIFT) | (7 << ROLE_SHIFT));
    this.state = (this.state & others) | kind;
  }

  get secretVersion(): number {
    return this.state >>> VERSION_SHIFT;
  }
  set secretVersion(version: number) {
    if (version > SECRET_VERSION_MAX) throw new RangeError(`A secret of version ${version} has no room in the index.`);
    this.state = (this.state & ((1 << VERSION_SHIFT) - 1)) | (version << VERSION_SHIFT);
  }

  /** False once it was retired, erased or lost. */
  get hasVerifier(): boolean {
    return this.has(HAS_VERIFIER);
  }
  /** The newest secret's, cut to VERIFIER_BYTES. */
  copyVerifier(into: Uint32Array): void {
    for (let n = 0; n < passing.length; n += 1) into[n] = this.cell(VERIFIER + n);
  }
  verifier(): Uint8Array {
    this.copyVerifier(passing);
    return passingBytes.slice();
  }
  setVerifier(verifier: Uint8Array | null): void {
    this.mark(HAS_VERIFIER, verifier !== null);
    if (verifier === null) passing.fill(0);
    else passingBytes.set(verifier.subarray(0, VERIFIER_BYTES));
    this.cells.set(passing, this.from + VERIFIER);
  }

  get createdAtMs(): number {
    return (this.cell(HIGHS) & 0xffff) * LOW_WORD + this.cell(CREATED_LOW);
  }
  set createdAtMs(ms: number) {
    this.setCell(CREATED_LOW, ms % LOW_WORD);
    this.setCell(HIGHS, (this.cell(HIGHS) & ~0xffff) | Math.floor(ms / LOW_WORD));
  }

  /** Infinite for a key that does not expire. */
  get expiresAtMs(): number {
    const high = this.cell(HIGHS) >>> 16;
    return high === NEVER_HIGH ? Number.POSITIVE_INFINITY : high * LOW_WORD + this.cell(EXPIRES_LOW);
  }

  /** From the event that last set the expiry to the expiry, rounded up: policies speak of whole days. */
  get lifetimeDays(): number {
    return this.cell(LIFETIME_AND_PEPPER) & 0xffff;
  }

  setExpiry(expiresAtMs: number, setAtMs: number): void {
    const never = expiresAtMs === Number.POSITIVE_INFINITY;
    const high = never ? NEVER_HIGH : Math.floor(expiresAtMs / LOW_WORD);
    this.setCell(EXPIRES_LOW, never ? 0 : expiresAtMs % LOW_WORD);
    this.setCell(HIGHS, (this.cell(HIGHS) & 0xffff) | (high << 16));
    const days = never ? 0 : Math.ceil((expiresAtMs - setAtMs) / DAY_MS);
    const kept = Math.min(Math.max(days, 0), LIFETIME_DAYS_MAX);
    this.setCell(LIFETIME_AND_PEPPER, (this.pepper << 16) | kept);
  }

  private get state(): number {
    return this.cell(STATE);
  }
  private set state(state: number) {
    this.setCell(STATE, state);
  }

  private cell(name: number): number {
    return this.cells[this.from + name] ?? 0;
  }

  private setCell(name: number, value: number): void {
    this.cells[this.from + name] = value;
  }

  private has(flag: number): boolean {
    return (this.state & flag) !== 0;
  }

  private mark(flag: number, on: boolean): void {
    this.state = on ? this.state | flag : this.state & ~flag;
  }
}

/** All rows, found by the key's name. A row is never given back: a deleted key keeps its ID for ever. */
export class KeyRows {
  private readonly chunks: Uint32Array[] = [];
  private rowCount = 0;
  private readonly table = new KeyNameTable(
    (number, name) => {
      const cells = this.chunkOf(number);
      const from = (number & (CHUNK_ROWS - 1)) * ROW_CELLS;
      return cells[from] === name.a && cells[from + 1] === name.b && cells[from + 2] === name.c;
    },
    (number) => {
      const cells = this.chunkOf(number);
      const from = (number & (CHUNK_ROWS - 1)) * ROW_CELLS + NAME;
      return { a: cells[from] ?? 0, b: cells[from + 1] ?? 0, c: cells[from + 2] ?? 0 };
    },
  );

  get size(): number {
    return this.rowCount;
  }

  find(name: KeyName): KeyRow | undefined {
    const number = this.table.find(name);
    return number < 0 ? undefined : this.at(number);
  }

  at(number: number): KeyRow {
    return new KeyRow(this.chunkOf(number), number);
  }

  /** For a name that is not there yet. */
  add(name: KeyName): KeyRow {
    const number = this.rowCount;
    if (number >>> CHUNK_BITS === this.chunks.length) this.chunks.push(new Uint32Array(CHUNK_ROWS * ROW_CELLS));
    this.rowCount += 1;
    const from = (number & (CHUNK_ROWS - 1)) * ROW_CELLS + NAME;
    this.chunkOf(number).set([name.a, name.b, name.c], from);
    this.table.insert(name, number);
    return this.at(number);
  }

  private chunkOf(number: number): Uint32Array {
    const chunk = this.chunks[number >>> CHUNK_BITS];
    if (chunk === undefined) throw new RangeError(`There is no row ${number}.`);
    return chunk;
  }
}
