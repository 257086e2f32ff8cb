import { Refusal } from '#libs/eventsourcing';
import { faultLine, summaryOf } from './commands/check.command.js';
import { parkedTable } from './commands/quarantine.command.js';
import { perSecond, sentenceOf, table } from './terminal.js';

describe('what the command line says', () => {
  it('writes a fault with its kind and its place', () => {
    const place = { stream: 'key-x', revision: 3, position: '00000000000000000007' };
    expect(faultLine({ kind: 'leaf-hash', detail: 'it is wrong', ...place })).toBe(
      'FAULT leaf-hash key-x/3 at position 00000000000000000007: it is wrong.',
    );
    expect(faultLine({ kind: 'parked', detail: 'two events' })).toBe('FAULT parked: two events.');
  });

  it('sums a check up with counts, speed and the state of every read model', () => {
    const sound = {
      events: 100_000,
      streams: 5_000,
      head: '00000000000000100000',
      destroyedDataKeys: 12,
      faults: 0,
      ledgerMs: 10_000,
      readModels: [{ projection: 'key-list', state: 'equal' as const, tables: [{ table: 'key_list', rows: 1_234 }] }],
      readModelsMs: 2_500,
    };
    expect(summaryOf(sound).split('\n')).toEqual([
      'Ledger: 100,000 events of 5,000 streams up to position 00000000000000100000, 12 data keys destroyed; 10.0 s, 10,000 events/s.',
      'Read models, in 2.5 s:',
      '  key-list: equal to a fold of the log (rows: key_list 1,234)',
      'No fault was found.',
    ]);
    expect(summaryOf({ ...sound, readModels: [], faults: 1 })).toMatch(/\n1 fault was found\.$/);
  });

  it('sets columns to the width of their widest value and leaves no blanks at the end', () => {
    expect(
      table(
        ['a', 'bb'],
        [
          ['long', 'x'],
          ['s', ''],
        ],
      ),
    ).toBe('a     bb\nlong  x\ns');
  });

  it('tells of a parked event what holds it up', () => {
    const parked = {
      projection: 'key-list',
      key: 'key-x',
      position: '00000000000000000007',
      stream: 'key-x',
      revision: 3,
      type: 'KeyExtended',
      reason: null,
      attempts: 0,
      parkedAt: '2026-01-01T00:00:00.000Z',
    };
    expect(parkedTable([parked])).toContain('key-x/3');
    expect(parkedTable([parked])).toContain('waits behind the one before');
    expect(parkedTable([{ ...parked, reason: 'SQLSTATE 23505' }])).toContain('SQLSTATE 23505');
  });

  it('tells a speed even of nothing', () => {
    expect(perSecond(0, 0)).toBe('0.0 s, 0 events/s');
  });

  it('makes one line without secrets of any error', () => {
    expect(sentenceOf(new Error('a\n  b postgres://u:hunter2@h'))).toBe('a b postgres://u:[password]@h');
    expect(sentenceOf(new Refusal('STORE_UNAVAILABLE', 'The store is away.'))).toBe('The store is away.');
    const refused = Object.assign(new Error(''), { code: 'ECONNREFUSED' });
    expect(sentenceOf(new AggregateError([refused]))).toBe('The database cannot be reached (ECONNREFUSED).');
    expect(sentenceOf('text')).toBe('Something went wrong that is no error.');
  });
});
