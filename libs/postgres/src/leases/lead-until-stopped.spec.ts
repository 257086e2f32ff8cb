import { UnknownEvent } from '#libs/eventsourcing';
import { leadUntilStopped } from './lead-until-stopped.js';

class Deposed extends Error {}

/** Leads through the given ends, one a turn, and is stopped after the last. */
async function leadThrough(ends: readonly (Error | 'ended')[]) {
  const stopping = new AbortController();
  const told: Error[] = [];
  let turns = 0;
  const lead = async (): Promise<void> => {
    const end = ends[turns];
    turns += 1;
    if (turns === ends.length) stopping.abort();
    if (end instanceof Error) throw end;
    await Promise.resolve();
  };
  const failure = await leadUntilStopped(lead, {
    signal: stopping.signal,
    isExpected: (error) => error instanceof Deposed,
    onRetry: (error) => told.push(error),
  });
  return { failure, told, turns };
}

describe('leadUntilStopped', () => {
  it('leads again after every end, and tells only of errors that nobody expects', async () => {
    const lost = new Error('The database is out of reach.');
    const { failure, told, turns } = await leadThrough(['ended', lost, new Deposed(), 'ended']);
    expect({ failure, told, turns }).toEqual({ failure: undefined, told: [lost], turns: 4 });
  });

  it('tells of nothing that being stopped breaks off', async () => {
    expect((await leadThrough([new Error('aborted')])).told).toEqual([]);
  });

  it('ends at an event that this release cannot read, and answers its error', async () => {
    const unknown = new UnknownEvent('key-1', 3, 'KeyTeleported', 1);
    const { failure, told, turns } = await leadThrough([unknown, 'ended']);
    expect({ failure, told, turns }).toEqual({ failure: unknown, told: [], turns: 1 });
  });
});
