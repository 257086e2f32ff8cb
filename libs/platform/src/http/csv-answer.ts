import type { StreamableFile } from '@nestjs/common';
import { streamedAnswer, type StreamedAnswerOptions, wants } from './streamed-answer.js';

export const CSV = 'text/csv';

/** True if the caller asks for CSV: by `format=csv`, else by name in Accept and not for JSON rather. */
export const wantsCsv = (accept?: string, format?: string): boolean =>
  format === undefined ? wants(CSV, accept) : format === 'csv';

export type CsvCell = string | number | boolean | null | undefined;

/** The columns of a table by their names: what a row has there. */
export type CsvColumns<Row> = Readonly<Record<string, (row: Row) => CsvCell>>;

/** What a spreadsheet would take for a formula. */
const FORMULA = /^[=+\-@\t\r]/;
const QUOTED = /[",\r\n]/;

/** A cell as RFC 4180 has it; a text that begins like a formula gets an apostrophe in front, so that none is run. */
export function csvCell(value: CsvCell): string {
  if (value === null || value === undefined) return '';
  if (typeof value !== 'string') return String(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return QUOTED.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const line = (cells: readonly CsvCell[]): string => `${cells.map(csvCell).join(',')}\r\n`;

/** A streamed answer of CSV: the names of the columns, then a line for each row. */
export function csvAnswer<Row>(
  columns: CsvColumns<Row>,
  batches: AsyncIterable<readonly Row[]>,
  fileName: string,
  options: StreamedAnswerOptions,
): Promise<StreamableFile> {
  const cells = Object.values(columns);
  async function* lines(): AsyncGenerator<string, void, undefined> {
    let head = line(Object.keys(columns));
    for await (const batch of batches) {
      yield head + batch.map((row) => line(cells.map((cell) => cell(row)))).join('');
      head = '';
    }
    yield head;
  }
  return streamedAnswer(lines(), { type: `${CSV}; charset=utf-8; header=present`, fileName }, options);
}
