import type { Codec, OpenedPart } from './codec.js';
import type { StoredEvent } from './event-store.js';
import type { OpenedEvent } from './projection.js';

/** Decodes events and opens the named parts, one look at the data keys a part. Throws UnknownEvent. */
export async function openEvents(
  codec: Codec,
  events: readonly StoredEvent[],
  parts: readonly string[],
): Promise<OpenedEvent[]> {
  const recorded = events.map((event) => codec.decode(event));
  const opened = await Promise.all(parts.map(async (part) => [part, await codec.openParts(events, part)] as const));
  return recorded.map((event, n) => {
    const stored = events[n] as StoredEvent;
    const own: Record<string, OpenedPart> = {};
    for (const [part, values] of opened) {
      const value = values.get(stored);
      if (value !== undefined) own[part] = value;
    }
    return { ...event, opened: own };
  });
}
