/** What is large is written in parts, each valid by itself: an event stays under 64 KiB, an append far under 1 MiB. */

export const PART_BYTES_MAX = 48 * 1024;
export const PARTS_PER_APPEND_MAX = 4;
export const EVENTS_PER_APPEND_MAX = 500;

/** Bytes of the value as JSON in UTF-8. */
export function jsonBytes(value: unknown): number {
  const text = JSON.stringify(value);
  let bytes = 0;
  for (let n = 0; n < text.length; n += 1) {
    const code = text.charCodeAt(n);
    // Half of a surrogate pair is two of its four bytes.
    bytes += code < 0x80 ? 1 : code < 0x800 || (code >= 0xd800 && code < 0xe000) ? 2 : 3;
  }
  return bytes;
}

/** Cuts the list, in its order, into parts that each stay under the size; one thing alone is never over it. */
export function inParts<Thing>(things: readonly Thing[]): Thing[][] {
  const parts: Thing[][] = [];
  let part: Thing[] = [];
  let bytes = 0;
  for (const thing of things) {
    const size = jsonBytes(thing) + 1;
    if (part.length > 0 && bytes + size > PART_BYTES_MAX) {
      parts.push(part);
      part = [];
      bytes = 0;
    }
    part.push(thing);
    bytes += size;
  }
  if (part.length > 0) parts.push(part);
  return parts;
}
