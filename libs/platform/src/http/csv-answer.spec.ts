import { text } from 'node:stream/consumers';
import { Refusal } from '#libs/eventsourcing';
import { csvAnswer, csvCell, wantsCsv } from './csv-answer.js';

const options = { signal: new AbortController().signal };

async function* batchesOf<Row>(...batches: Row[][]): AsyncGenerator<Row[]> {
  for (const batch of batches) yield await Promise.resolve(batch);
}

describe('CSV', () => {
  it.each([
    ['plain', 'plain'],
    ['', ''],
    [null, ''],
    [undefined, ''],
    [12, '12'],
    [-12, '-12'],
    [true, 'true'],
    ['a,b', '"a,b"'],
    ['say "no"', '"say ""no"""'],
    ['two\nlines', '"two\nlines"'],
    ['two\r\nlines', '"two\r\nlines"'],
    [' spaced ', ' spaced '],
    ['雲, ☕', '"雲, ☕"'],
    ['=1+1', "'=1+1"],
    ['+1', "'+1"],
    ['-1', "'-1"],
    ['@SUM(A1)', "'@SUM(A1)"],
    ['\t=1', "'\t=1"],
    ['\r=1', '"\'\r=1"'],
    ['=HYPERLINK("http://x","y")', '"\'=HYPERLINK(""http://x"",""y"")"'],
    ['a=1', 'a=1'],
  ])('a cell of %j is %j', (value, cell) => {
    expect(csvCell(value)).toBe(cell);
  });

  it('has the names of its columns first, also where there are no rows, and ends every line with CR LF', async () => {
    const columns = { name: (row: { n: number }) => `row ${row.n}`, n: (row: { n: number }) => row.n };
    const full = await csvAnswer(columns, batchesOf([{ n: 1 }], [], [{ n: 2 }]), 'x.csv', options);
    expect(await text(full.getStream())).toBe('name,n\r\nrow 1,1\r\nrow 2,2\r\n');
    expect(full.options).toMatchObject({
      type: 'text/csv; charset=utf-8; header=present',
      disposition: 'attachment; filename="x.csv"',
    });
    expect(await text((await csvAnswer(columns, batchesOf(), 'x.csv', options)).getStream())).toBe('name,n\r\n');
  });

  it('is refused as a whole by what refuses its first rows', async () => {
    async function* source(): AsyncGenerator<object[]> {
      yield await Promise.reject<object[]>(new Refusal('PROJECTION_LAG', 'no'));
    }
    await expect(csvAnswer({}, source(), 'x.csv', options)).rejects.toMatchObject({ code: 'PROJECTION_LAG' });
  });

  it.each([
    [undefined, undefined, false],
    ['*/*', undefined, false],
    ['text/csv', undefined, true],
    ['text/csv;q=0.2, application/json', undefined, false],
    ['application/json', 'csv', true],
    ['text/csv', 'json', false],
  ])('is wanted by Accept %s and format %s: %s', (accept, format, wanted) => {
    expect(wantsCsv(accept, format)).toBe(wanted);
  });
});
