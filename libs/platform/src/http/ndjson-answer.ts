import type { StreamableFile } from '@nestjs/common';
import { streamedAnswer, type StreamedAnswerOptions, wants } from './streamed-answer.js';

export const NDJSON = 'application/x-ndjson';

/** True if the caller asks for NDJSON by name, and not for JSON rather. */
export const wantsNdjson = (accept?: string): boolean => wants(NDJSON, accept);

/** A streamed answer, one JSON object a line. */
export function ndjsonAnswer(
  batches: AsyncIterable<readonly object[]>,
  options: StreamedAnswerOptions,
): Promise<StreamableFile> {
  async function* lines(): AsyncGenerator<string, void, undefined> {
    for await (const batch of batches) yield batch.map((item) => `${JSON.stringify(item)}\n`).join('');
  }
  return streamedAnswer(lines(), { type: NDJSON }, options);
}
