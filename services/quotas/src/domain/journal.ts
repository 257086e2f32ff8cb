/**
 * Makes a mutable state one that can go back: whoever changes it through here can undo everything since a mark. A copy
 * of the whole state for every batch would cost more than the batch. While history is folded nothing is recorded.
 */
export class Journal {
  private readonly inverses: (() => void)[] = [];
  private recording = false;

  get isRecording(): boolean {
    return this.recording;
  }

  /** From here on every change can be undone. */
  begin(): void {
    if (this.recording) throw new Error('The journal records already.');
    this.recording = true;
  }

  /** Nothing can be undone any more. */
  confirm(): void {
    this.inverses.length = 0;
    this.recording = false;
  }

  /** A moment to which `undo` can go back. */
  mark(): number {
    return this.inverses.length;
  }

  undo(to = 0): void {
    while (this.inverses.length > to) this.inverses.pop()?.();
  }

  /** Ask `isRecording` first where it matters: an inverse that nobody keeps still costs its making. */
  record(inverse: () => void): void {
    if (this.recording) this.inverses.push(inverse);
  }

  set<Target, Field extends keyof Target>(target: Target, field: Field, value: Target[Field]): void {
    if (this.recording) {
      const before = target[field];
      this.inverses.push(() => {
        target[field] = before;
      });
    }
    target[field] = value;
  }

  put<Key, Value>(map: Map<Key, Value>, key: Key, value: Value): void {
    if (this.recording) {
      const before = map.get(key);
      this.inverses.push(() => {
        if (before === undefined) map.delete(key);
        else map.set(key, before);
      });
    }
    map.set(key, value);
  }

  remove<Key, Value>(map: Map<Key, Value>, key: Key): void {
    const before = map.get(key);
    if (before === undefined) return;
    if (this.recording)
      this.inverses.push(() => {
        map.set(key, before);
      });
    map.delete(key);
  }
}
