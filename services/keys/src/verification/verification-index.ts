import { idOf, type KeyAttributes, type KeyChange, type KeyEvent, type KeyOwner } from '#libs/contracts';
import type { EventIndex, OpenedEvent, OpenedPart } from '#libs/eventsourcing';
import { type KeyEntry, KeyDirectory } from '#libs/platform';
import { Interned } from './interned.js';
import { type KeyName, readKeyName } from './key-names.js';
import { compileProfile, type CompiledProfile, type KeyProfile, nameOfProfile } from './key-profile.js';
import { type KeyRow, KeyRows, VERIFIER_BYTES } from './key-rows.js';

/** Where keys stand. `json` is the part of an answer that says so. */
export interface KeyPlace {
  readonly tenantId: string | null;
  readonly projectId: string | null;
  readonly name: string;
  readonly json: string;
}

/** The secret before the newest, while a rotation overlaps. */
export interface OlderSecret {
  readonly version: number;
  readonly pepper: number;
  readonly verifier: Uint8Array;
  readonly retiresAtMs: number;
}

/** What most keys do not have. */
export interface KeyExtras {
  readonly notBeforeMs: number;
  /** As JSON, ready for an answer. */
  readonly labels: string;
  readonly metadata: string;
  readonly older: OlderSecret | null;
}

const NO_EXTRAS: KeyExtras = { notBeforeMs: 0, labels: '{}', metadata: '{}', older: null };
const NO_PROFILE: KeyProfile = { environment: '', scopes: [], audiences: [], ipAllow: [], ipDeny: [] };
const PEPPERS_MAX = 256;

/** A key as it is put in whole, by its first event or by a loader. */
export interface NewIndexedKey {
  readonly attributes: KeyAttributes;
  readonly tenantId: string | null;
  readonly projectId: string | null;
  readonly imported: boolean;
  readonly createdAtMs: number;
  readonly pepperVersion: string;
  /** Of version 1; null if it was erased or is missing. */
  readonly verifier: Uint8Array | null;
  readonly revision: number;
}

/** A key of the index, read in place. */
export class IndexedKey {
  constructor(
    private readonly index: VerificationIndex,
    readonly row: KeyRow,
  ) {}

  get place(): KeyPlace {
    return this.index.places.get(this.row.place);
  }
  get profile(): CompiledProfile {
    return this.index.profiles.get(this.row.profile);
  }
  get ownerId(): string {
    return this.index.ownerIds.get(this.row.owner);
  }
  get owner(): KeyOwner {
    return { type: this.row.ownerType, id: this.ownerId, role: this.row.ownerRole };
  }
  get extras(): KeyExtras {
    return this.index.extrasOf(this.row);
  }
}

/**
 * Every key in memory, fed by following the store: what verification decides from and the guard finds keys by. It holds
 * the only decrypted verifiers; a deleted key keeps its directory entry and nothing else.
 */
export class VerificationIndex extends KeyDirectory implements EventIndex {
  readonly categories = ['key'];
  readonly parts = ['verifier'];

  readonly places = new Interned<KeyPlace>((place) => place.name);
  readonly profiles = new Interned<CompiledProfile>((profile) => profile.name);
  readonly ownerIds = new Interned<string>((id) => id);
  private readonly rows = new KeyRows();
  private readonly extras = new Map<number, KeyExtras>();
  /** Rows with an older secret, the one that was looked at longest ago first. */
  private readonly overlapping = new Set<number>();
  private readonly pepperVersions: string[] = [];
  private readonly sought: KeyName = { a: 0, b: 0, c: 0 };

  /** `onMissingVerifier` is the alarm for a verifier whose data key is gone without having been destroyed. */
  constructor(private readonly onMissingVerifier: (keyId: string) => void = () => undefined) {
    super();
  }

  get size(): number {
    return this.rows.size;
  }

  /** More than one while keys of an older pepper remain. */
  get pepperVersionsSeen(): number {
    return this.pepperVersions.length;
  }

  pepperVersion(pepper: number): string {
    return this.pepperVersions[pepper] ?? '';
  }

  /** Deleted keys too. */
  key(keyId: string): IndexedKey | undefined {
    const row = readKeyName(keyId, this.sought) ? this.rows.find(this.sought) : undefined;
    return row === undefined ? undefined : new IndexedKey(this, row);
  }

  override find(keyId: string): KeyEntry | undefined {
    const key = this.key(keyId);
    if (key === undefined) return undefined;
    const { tenantId, projectId } = key.place;
    return { tenantId, projectId, owner: key.owner, deleted: key.row.deleted };
  }

  extrasOf(row: KeyRow): KeyExtras {
    return row.hasExtras ? (this.extras.get(row.number) ?? NO_EXTRAS) : NO_EXTRAS;
  }

  apply(recorded: OpenedEvent): 'applied' | 'seen' | 'gap' {
    const keyId = `key_${idOf(recorded.stream)}`;
    if (!readKeyName(keyId, this.sought)) throw new Error(`${recorded.stream} is no stream of a key.`);
    const row = this.rows.find(this.sought);
    const revision = row?.revision ?? 0;
    if (recorded.revision <= revision) return 'seen';
    if (recorded.revision > revision + 1) return 'gap';
    const event = recorded as unknown as KeyEvent;
    if (row === undefined) {
      if (event.type !== 'KeyCreated' && event.type !== 'KeyImported')
        throw new Error(`A ${event.type} stands before the creation of ${keyId}.`);
      this.put({
        attributes: event.data,
        tenantId: recorded.tenantId,
        projectId: recorded.projectId,
        imported: event.type === 'KeyImported',
        createdAtMs: Date.parse(recorded.recordedAt),
        pepperVersion: event.data.secret.pepperVersion,
        verifier: this.verifierOf(keyId, recorded.opened['verifier']),
        revision: 1,
      });
      return 'applied';
    }
    this.change(keyId, row, event, recorded);
    row.revision = recorded.revision;
    return 'applied';
  }

  /** Puts in a key that is not there yet. */
  put(key: NewIndexedKey): void {
    const { attributes } = key;
    if (!readKeyName(attributes.keyId, this.sought)) throw new Error(`${attributes.keyId} is no key ID.`);
    const row = this.rows.add(this.sought);
    row.place = this.holdPlace(key.tenantId, key.projectId);
    row.owner = this.ownerIds.hold(attributes.owner.id, () => attributes.owner.id);
    row.profile = this.holdProfile(attributes);
    row.setOwnerKind(attributes.owner.type, attributes.owner.role);
    row.canManageKeys = attributes.canManageKeys;
    row.imported = key.imported;
    row.createdAtMs = key.createdAtMs;
    row.setExpiry(msOf(attributes.expiresAt, Number.POSITIVE_INFINITY), key.createdAtMs);
    row.secretVersion = 1;
    row.pepper = this.pepperNumber(key.pepperVersion);
    row.setVerifier(key.verifier);
    row.revision = key.revision;
    this.setExtras(row, {
      notBeforeMs: msOf(attributes.notBefore, 0),
      labels: JSON.stringify(attributes.labels),
      metadata: JSON.stringify(attributes.metadata),
      older: null,
    });
  }

  private change(keyId: string, row: KeyRow, event: KeyEvent, { recordedAt, opened }: OpenedEvent): void {
    const verifier = (): Uint8Array | null => this.verifierOf(keyId, opened['verifier']);
    switch (event.type) {
      case 'KeyCreated':
      case 'KeyImported':
        throw new Error(`${keyId} is created twice.`);
      case 'KeyUpdated':
        for (const change of event.data.changes) this.edit(row, change);
        break;
      case 'KeyExtended':
        row.setExpiry(Date.parse(event.data.to), Date.parse(recordedAt));
        break;
      case 'KeyRotated':
        this.rotate(row, event.data, verifier());
        this.sweepOverlaps(Date.parse(recordedAt));
        break;
      case 'KeySecretRetired':
        this.retire(row, event.data.version);
        break;
      case 'KeyDisabled':
      case 'KeyEnabled':
        row.disabled = event.type === 'KeyDisabled';
        break;
      case 'KeyRevoked':
        row.revoked = true;
        break;
      case 'KeyDeleted':
        this.forget(row);
        break;
      case 'KeyExpired':
      case 'KeyExpiryWarned':
        break;
      case 'KeyOwnershipTransferred':
        this.transfer(row, event.data.to);
        break;
      case 'KeyVerifierUpgraded':
        this.upgrade(row, event.data.version, event.data.to, verifier());
        break;
    }
  }

  private edit(row: KeyRow, { field, to }: KeyChange): void {
    switch (field) {
      case 'name':
      case 'description':
        break;
      case 'labels':
      case 'metadata':
        this.setExtras(row, { ...this.extrasOf(row), [field]: JSON.stringify(to) });
        break;
      case 'notBefore':
        this.setExtras(row, { ...this.extrasOf(row), notBeforeMs: msOf(to as string | null, 0) });
        break;
      case 'scopes':
      case 'audiences':
      case 'ipAllow':
      case 'ipDeny':
        this.setProfile(row, { ...this.profiles.get(row.profile), [field]: to as string[] });
        break;
    }
  }

  private rotate(
    row: KeyRow,
    data: Extract<KeyEvent, { type: 'KeyRotated' }>['data'],
    verifier: Uint8Array | null,
  ): void {
    const retiresAtMs = Date.parse(data.previousRetiresAt);
    const extras = this.extrasOf(row);
    let older: OlderSecret | null = null;
    if (data.previousVersion === row.secretVersion) {
      const copy = row.hasVerifier ? row.verifier() : null;
      if (copy !== null) older = { version: row.secretVersion, pepper: row.pepper, verifier: copy, retiresAtMs };
    } else if (extras.older?.version === data.previousVersion) {
      older = { ...extras.older, retiresAtMs };
    }
    this.setExtras(row, { ...extras, older });
    row.secretVersion = data.version;
    row.pepper = this.pepperNumber(data.pepperVersion);
    row.setVerifier(verifier);
  }

  private retire(row: KeyRow, version: number): void {
    if (version === row.secretVersion) row.setVerifier(null);
    const extras = this.extrasOf(row);
    if (extras.older?.version === version) this.setExtras(row, { ...extras, older: null });
  }

  private upgrade(row: KeyRow, version: number, pepperVersion: string, verifier: Uint8Array | null): void {
    const pepper = this.pepperNumber(pepperVersion);
    if (version === row.secretVersion) {
      row.pepper = pepper;
      row.setVerifier(verifier);
      return;
    }
    const extras = this.extrasOf(row);
    if (extras.older?.version !== version) return;
    const older = verifier === null ? null : { ...extras.older, pepper, verifier };
    this.setExtras(row, { ...extras, older });
  }

  private transfer(row: KeyRow, owner: KeyOwner): void {
    const before = row.owner;
    row.owner = this.ownerIds.hold(owner.id, () => owner.id);
    row.setOwnerKind(owner.type, owner.role);
    this.ownerIds.release(before);
  }

  private forget(row: KeyRow): void {
    row.deleted = true;
    row.setVerifier(null);
    this.setExtras(row, NO_EXTRAS);
    this.setProfile(row, NO_PROFILE);
  }

  private setExtras(row: KeyRow, extras: KeyExtras): void {
    const none =
      extras.notBeforeMs === 0 && extras.labels === '{}' && extras.metadata === '{}' && extras.older === null;
    row.hasExtras = !none;
    if (none) this.extras.delete(row.number);
    else this.extras.set(row.number, extras);
    if (extras.older === null) this.overlapping.delete(row.number);
    else this.overlapping.add(row.number);
  }

  /** Each rotation looks at two overlaps, so secrets that are over never pile up and no rotation looks at all. */
  private sweepOverlaps(nowMs: number): void {
    let looks = 2;
    for (const number of this.overlapping) {
      looks -= 1;
      if (looks < 0) return;
      this.overlapping.delete(number);
      const extras = this.extras.get(number);
      if (extras === undefined || extras.older === null) continue;
      if (extras.older.retiresAtMs > nowMs) this.overlapping.add(number);
      else this.setExtras(this.rows.at(number), { ...extras, older: null });
    }
  }

  private setProfile(row: KeyRow, profile: KeyProfile): void {
    const before = row.profile;
    row.profile = this.holdProfile(profile);
    this.profiles.release(before);
  }

  private holdProfile(profile: KeyProfile): number {
    const name = nameOfProfile(profile);
    return this.profiles.hold(name, () => compileProfile(profile, name));
  }

  private holdPlace(tenantId: string | null, projectId: string | null): number {
    const json = `"tenantId":${JSON.stringify(tenantId)},"projectId":${JSON.stringify(projectId)}`;
    return this.places.hold(json, () => ({ tenantId, projectId, name: json, json }));
  }

  private pepperNumber(version: string): number {
    const known = this.pepperVersions.indexOf(version);
    if (known >= 0) return known;
    if (this.pepperVersions.length === PEPPERS_MAX)
      throw new RangeError(`More than ${PEPPERS_MAX} peppers are in use.`);
    return this.pepperVersions.push(version) - 1;
  }

  private verifierOf(keyId: string, part: OpenedPart | undefined): Uint8Array | null {
    if (part !== undefined && 'value' in part)
      return Buffer.from((part.value as { hmac: string }).hmac, 'hex').subarray(0, VERIFIER_BYTES);
    if (part === undefined || 'missing' in part) this.onMissingVerifier(keyId);
    return null;
  }
}

const msOf = (time: string | null, absent: number): number => (time === null ? absent : Date.parse(time));
