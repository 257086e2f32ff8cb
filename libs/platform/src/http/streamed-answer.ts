import { Readable } from 'node:stream';
import { StreamableFile } from '@nestjs/common';
import { HTTP_LIMITS } from './limits.js';

/** How far a media type is wanted by an Accept header that names it; 0 where it does not. */
function weightOf(type: string, accept: string): number {
  for (const range of accept.split(',')) {
    const [name = '', ...parameters] = range.split(';').map((one) => one.trim().toLowerCase());
    if (name !== type) continue;
    const weight = Number(parameters.find((one) => one.startsWith('q='))?.slice(2) ?? 1);
    return Number.isNaN(weight) ? 0 : weight;
  }
  return 0;
}

/** True if the caller asks for the media type by name, and not for JSON rather. */
export function wants(type: string, accept = ''): boolean {
  const weight = weightOf(type, accept);
  return weight > 0 && weight >= weightOf('application/json', accept);
}

export interface StreamedAnswerOptions {
  /** Breaks the answer off; `Readiness.drainSignal` in a program. */
  readonly signal: AbortSignal;
  /** How long the reader may take nothing. */
  readonly stallMsMax?: number;
}

interface Content {
  readonly type: string;
  /** Under which name a browser keeps it; shown at once if absent. */
  readonly fileName?: string;
}

/**
 * A streamed answer for a handler to return. A piece is made when the one before it has been taken, so memory holds one or
 * two of them however slow the reader is. The first is made before this resolves: whatever refuses it is answered as a
 * problem. Later failures, an abort and a reader that stalls break the connection, so that an answer which ended in order
 * is whole.
 */
export async function streamedAnswer(
  pieces: AsyncIterable<string>,
  { type, fileName }: Content,
  { signal, stallMsMax = HTTP_LIMITS.stallMsMax }: StreamedAnswerOptions,
): Promise<StreamableFile> {
  const iterator = pieces[Symbol.asyncIterator]();
  const first = await iterator.next();
  const breakOff = (why: string): void => {
    stream.destroy(new Error(why));
  };
  async function* texts(): AsyncGenerator<string, void, undefined> {
    try {
      for (let next = first; next.done !== true; next = await iterator.next()) {
        if (next.value === '') continue;
        const stalled = setTimeout(breakOff, stallMsMax, 'The reader of a streamed answer took nothing.');
        try {
          yield next.value;
        } finally {
          clearTimeout(stalled);
        }
      }
    } finally {
      await iterator.return?.();
    }
  }
  const stream = Readable.from(texts(), { objectMode: false });
  const onAbort = (): void => {
    breakOff('This process is going down.');
  };
  signal.addEventListener('abort', onAbort);
  stream.once('close', () => {
    signal.removeEventListener('abort', onAbort);
  });
  if (signal.aborted) onAbort();
  const disposition = fileName === undefined ? {} : { disposition: `attachment; filename="${fileName}"` };
  // Fastify tells the log of an answer that broke; that its reader left is no fault of ours.
  return new StreamableFile(stream, { type, ...disposition }).setErrorLogger(() => undefined);
}
