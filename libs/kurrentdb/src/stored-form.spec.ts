import { newEvent } from '../../eventsourcing/src/testing/contract-item.js';
import { proposedOf, readEventOf } from './stored-form.js';

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

describe('the metadata of an event', () => {
  it.each([
    [TRACEPARENT, TRACEPARENT],
    ['hunter2', undefined],
    [7, undefined],
    [undefined, undefined],
  ])('with the trace context %s gives back %s', (stored, read) => {
    const { id, type, data, metadata } = proposedOf(newEvent(), 'one-append');
    const recorded = {
      ...{ streamId: 'key-1', id, type, data, revision: 0n, isJson: true, created: new Date(0) },
      position: { commit: 1n, prepare: 1n },
      metadata: { ...(metadata as object), ...(stored === undefined ? {} : { traceparent: stored }) },
    };
    expect(readEventOf(recorded)?.event.traceparent).toBe(read);
  });
});
