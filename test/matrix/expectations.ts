import { readFileSync } from 'node:fs';
import type { ActorName } from './actors.js';
import { type Relation, relations } from './world.js';

export const outcomes = ['2xx', '401', '403', '404', 'n/a'] as const;
export type Outcome = (typeof outcomes)[number];

export interface Row {
  /** The line of the file. */
  readonly line: number;
  /** `METHOD /path`, as the OpenAPI document has it, and a query string where the row is about one. */
  readonly route: string;
  readonly relation: Relation;
  readonly expected: ReadonlyMap<ActorName, Outcome>;
  /** The rule of the design that the row follows. */
  readonly rule: string;
}

function fieldsOf(line: string): string[] {
  return [...line.matchAll(/(?:^|,)(?:"([^"]*)"|([^,]*))/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
}

function among<T extends string>(known: readonly T[], text: string | undefined, line: number): T {
  const found = known.find((one) => one === text);
  if (found === undefined) throw new Error(`expectations.csv, line ${line}: "${text}" is none of ${known.join(', ')}.`);
  return found;
}

/** What expectations.csv says, with the names of its columns. */
export function readExpectations(): { readonly columns: readonly string[]; readonly rows: readonly Row[] } {
  const [header = '', ...lines] = readFileSync(new URL('./expectations.csv', import.meta.url), 'utf8')
    .trimEnd()
    .split('\n');
  const columns = header.split(',').slice(2, -1);
  const rows = lines.map((text, n): Row => {
    const line = n + 2;
    const [route = '', relation, ...rest] = fieldsOf(text);
    if (rest.length !== columns.length + 1)
      throw new Error(`expectations.csv, line ${line}: a cell too many or too few.`);
    const expected = columns.map((column, at) => [column as ActorName, among(outcomes, rest[at], line)] as const);
    return {
      line,
      route,
      relation: among(relations, relation, line),
      expected: new Map(expected),
      rule: rest.at(-1) ?? '',
    };
  });
  return { columns, rows };
}
