/** When a reservation is due. */
export interface Due {
  readonly reservationId: string;
  readonly expiresAt: string;
}

const isBefore = (a: Due, b: Due): boolean =>
  a.expiresAt === b.expiresAt ? a.reservationId < b.reservationId : a.expiresAt < b.expiresAt;

/**
 * A binary heap by time, then id. It may hold what is no longer so (a resolved or extended reservation, or the same
 * twice); whoever takes from it asks the ledger whether it still stands. So nothing is ever searched in it.
 */
export class ExpiryHeap {
  private heap: Due[] = [];

  get size(): number {
    return this.heap.length;
  }

  peek(): Due | undefined {
    return this.heap[0];
  }

  push(due: Due): void {
    const { heap } = this;
    let at = heap.length;
    heap.push(due);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as Due;
      if (!isBefore(due, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = due;
  }

  pop(): Due | undefined {
    const { heap } = this;
    const top = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return top;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      if (left >= heap.length) break;
      const right = left + 1;
      const least = right < heap.length && isBefore(heap[right] as Due, heap[left] as Due) ? right : left;
      if (!isBefore(heap[least] as Due, last)) break;
      heap[at] = heap[least] as Due;
      at = least;
    }
    heap[at] = last;
    return top;
  }

  /** Throws out what is no longer so, and what stands in it twice. */
  keepOnly(stands: (due: Due) => boolean): void {
    const seen = new Set<string>();
    const kept = this.heap.filter((due) => {
      const isFirst = !seen.has(due.reservationId) && stands(due);
      if (isFirst) seen.add(due.reservationId);
      return isFirst;
    });
    this.heap = [];
    for (const due of kept) this.push(due);
  }
}
