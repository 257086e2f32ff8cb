import { Refusal } from '#libs/eventsourcing';
import { type NdjsonLine, readFields } from '#libs/platform';
import { ProjectPath } from '../quotas.dto.js';

interface ReconcileMessage {
  readonly projectId?: string;
  readonly header?: object;
  readonly resource?: object;
}

interface ReportStream {
  readonly projectId: string;
  readonly lines: AsyncIterable<NdjsonLine>;
}

/** A report that comes as messages, as the lines that it would be over HTTP. */
export async function reportLines(messages: AsyncIterable<unknown>): Promise<ReportStream> {
  const iterator = messages[Symbol.asyncIterator]() as AsyncIterator<ReconcileMessage, undefined>;
  const first = await iterator.next();
  const { projectId, ...line } = first.value ?? {};
  return { projectId: readFields(ProjectPath, { projectId }, 'request').projectId, lines: linesFrom(line, iterator) };
}

async function* linesFrom(
  { header }: ReconcileMessage,
  others: AsyncIterator<ReconcileMessage, undefined>,
): AsyncGenerator<NdjsonLine> {
  // An absent list of resources is all of them; a message cannot tell an empty one from it.
  yield header === undefined ? wrongLine(1, 'header') : { line: 1, value: header };
  for (let line = 2; ; line += 1) {
    const next = await others.next();
    if (next.done === true) return;
    const { resource } = next.value;
    yield resource === undefined ? wrongLine(line, 'resource') : { line, value: resource };
  }
}

const wrongLine = (line: number, field: string): NdjsonLine => ({
  line,
  refusal: new Refusal('VALIDATION', `The message must have a ${field}.`, {
    errors: [{ location: `body.${field}`, message: 'is required' }],
  }),
});
