import type { Readable } from 'node:stream';
import { Refusal } from '#libs/eventsourcing';
import { parseStrictJson } from './strict-json.js';

const LINE_BYTES_MAX = 64 * 1024;

/** A line of a streamed body, counted from 1: its JSON, or why it is none. */
export type NdjsonLine =
  { readonly line: number; readonly value: unknown } | { readonly line: number; readonly refusal: Refusal };

const NEWLINE = 0x0a;

/**
 * The lines of a streamed body as they arrive; blank ones are counted and skipped. A line that is no JSON is told in
 * its place and the rest goes on. Refuses with MEDIA_TYPE what is no stream, and with BODY_TOO_LARGE a line without end.
 */
export async function* ndjsonLines(body: unknown): AsyncGenerator<NdjsonLine> {
  if (!isReadable(body)) throw new Refusal('MEDIA_TYPE', 'This route takes application/x-ndjson.');
  let pieces: Buffer[] = [];
  let sizeBytes = 0;
  let line = 0;
  for await (const chunk of whole(body)) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      pieces.push(chunk.subarray(start, end));
      line += 1;
      const read = readLine(line, Buffer.concat(pieces));
      if (read !== undefined) yield read;
      pieces = [];
      sizeBytes = 0;
      start = end + 1;
    }
    pieces.push(chunk.subarray(start));
    sizeBytes += chunk.length - start;
    if (sizeBytes > LINE_BYTES_MAX)
      throw new Refusal('BODY_TOO_LARGE', `Line ${line + 1} is longer than ${LINE_BYTES_MAX} bytes.`);
  }
  const last = readLine(line + 1, Buffer.concat(pieces));
  if (last !== undefined) yield last;
}

/** The body as it arrives; one whose sender is gone before its end is a fault of the sender. */
async function* whole(body: Readable): AsyncGenerator<Buffer> {
  try {
    yield* body as AsyncIterable<Buffer>;
  } catch {
    throw new Refusal('BODY_MALFORMED', 'The body broke off before its end.');
  }
}

const isReadable = (body: unknown): body is Readable => typeof body === 'object' && body !== null && 'pipe' in body;

const isBlank = (bytes: Buffer): boolean => bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);

function readLine(line: number, bytes: Buffer): NdjsonLine | undefined {
  if (isBlank(bytes)) return undefined;
  try {
    return { line, value: parseStrictJson(bytes) };
  } catch (error) {
    if (error instanceof Refusal) return { line, refusal: error };
    throw error;
  }
}
