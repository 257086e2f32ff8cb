import type { DataKey } from '#libs/eventsourcing';

interface Opened {
  readonly owner: string;
  readonly key: DataKey;
  readonly untilMs: number;
}

const SWEEP_MS = 5000;

/** Data keys that were opened, for a while, by name and by the owner for whom they stand. */
export class OpenedKeys {
  // A map keeps the order of insertion and all entries live equally long, so the oldest come first.
  private readonly byName = new Map<string, Opened>();
  private readonly byOwner = new Map<string, Opened>();
  private readonly sweep: NodeJS.Timeout;
  private forgotten = 0;

  constructor(
    private readonly ttlMs: number,
    private readonly countMax: number,
    private readonly monotonicMs: () => number = () => performance.now(),
  ) {
    this.sweep = setInterval(() => {
      this.dropOld();
    }, SWEEP_MS);
    this.sweep.unref();
  }

  /** Taken before a read and given back with what was read: what was forgotten in between is not kept. */
  get epoch(): number {
    return this.forgotten;
  }

  get count(): number {
    return this.byName.size;
  }

  add(keys: ReadonlyMap<string, DataKey>, epoch: number): void {
    if (epoch !== this.forgotten) return;
    const untilMs = this.monotonicMs() + this.ttlMs;
    for (const [owner, key] of keys) {
      const opened = { owner, key, untilMs };
      this.drop(this.byName.get(key.name));
      this.byName.set(key.name, opened);
      this.byOwner.set(owner, opened);
    }
    this.dropOld();
  }

  ofName(name: string): Buffer | undefined {
    const opened = this.byName.get(name);
    return opened === undefined || opened.untilMs <= this.monotonicMs() ? undefined : opened.key.bytes;
  }

  /** All of them, or undefined if one is not there. */
  ofOwners(owners: readonly string[]): Map<string, DataKey> | undefined {
    const keys = new Map<string, DataKey>();
    for (const owner of owners) {
      const opened = this.byOwner.get(owner);
      if (opened === undefined || opened.untilMs <= this.monotonicMs()) return undefined;
      keys.set(owner, opened.key);
    }
    return keys;
  }

  forget(names: readonly string[]): void {
    this.forgotten += 1;
    for (const name of names) this.drop(this.byName.get(name));
  }

  close(): void {
    clearInterval(this.sweep);
    this.byName.clear();
    this.byOwner.clear();
  }

  private drop(opened: Opened | undefined): void {
    if (opened === undefined) return;
    this.byName.delete(opened.key.name);
    if (this.byOwner.get(opened.owner) === opened) this.byOwner.delete(opened.owner);
  }

  private dropOld(): void {
    const nowMs = this.monotonicMs();
    for (const opened of this.byName.values()) {
      if (opened.untilMs > nowMs && this.byName.size <= this.countMax) return;
      this.drop(opened);
    }
  }
}
