import type { FieldError } from '#libs/eventsourcing';
import { Refusal } from '#libs/eventsourcing';
import { type NdjsonLine, readFields } from '#libs/platform';
import { type Catalogue, knownResource } from '../domain/catalogue.js';
import type { ReportedUsage } from '../domain/commands.js';
import { ENTRIES_MAX } from '../domain/granting.js';
import { normalItems } from '../domain/items.js';
import { ReportHeader, ReportLine } from './reconcile.dto.js';

/** Amounts in one report; with fewer resources each may have the 16 that a request may have. */
const AMOUNTS_MAX = 500_000;
const FAULTS_TOLD_MAX = 50;

export interface Report {
  readonly header: ReportHeader;
  readonly entries: readonly ReportedUsage[];
  /** The line that each entry stands on, counted from 1. */
  readonly lines: readonly number[];
}

/**
 * What is wrong, line by line. Whatever a report leaves out is taken for gone, so a report with one wrong line counts for
 * nothing; all wrong lines are told at once, for they are mended at once.
 */
class Faults {
  private first: Refusal | undefined;
  private readonly errors: FieldError[] = [];

  get isFull(): boolean {
    return this.errors.length >= FAULTS_TOLD_MAX;
  }

  add(line: number, refusal: Refusal): void {
    const { code, detail, extra } = refusal;
    this.first ??= new Refusal(code, `Line ${line}: ${detail}`);
    const told = extra.errors ?? [{ location: 'body', message: detail }];
    for (const { location, message } of told)
      this.errors.push({ location: location.replace(/^body/, `body.${line}`), message });
  }

  /** Does the work of a line; false if it was refused. */
  hold(line: number, work: () => void): boolean {
    try {
      work();
      return true;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.add(line, error);
      return false;
    }
  }

  throwIfAny(): void {
    if (this.first === undefined) return;
    const { code, detail } = this.first;
    throw new Refusal(code, detail, { errors: this.errors.slice(0, FAULTS_TOLD_MAX) });
  }
}

const wrong = (field: string, message: string): Refusal =>
  new Refusal('VALIDATION', `${field} ${message}.`, { errors: [{ location: `body.${field}`, message }] });

/**
 * Reads the whole report before anything is done with it: what breaks off changes nothing. Refuses with the code of the
 * first wrong line, and names them all.
 */
export async function readReport(lines: AsyncIterable<NdjsonLine>): Promise<Report> {
  const faults = new Faults();
  const entries: ReportLine[] = [];
  const places: number[] = [];
  let header: ReportHeader | undefined;
  let amounts = 0;
  for await (const one of lines) {
    const { line } = one;
    faults.hold(line, () => {
      if ('refusal' in one) throw one.refusal;
      if (header === undefined) {
        header = readFields(ReportHeader, one.value, 'body');
        return;
      }
      const entry = readFields(ReportLine, one.value, 'body');
      entries.push(entry);
      places.push(line);
      amounts += entry.items.length;
    });
    // Without its header nothing of a report can be read.
    if (header === undefined || faults.isFull) break;
    if (entries.length > ENTRIES_MAX || amounts > AMOUNTS_MAX)
      throw new Refusal(
        'TOO_MANY_ITEMS',
        `A report has at most ${ENTRIES_MAX} resources with ${AMOUNTS_MAX} amounts in all.`,
      );
  }
  faults.throwIfAny();
  if (header === undefined) throw wrong('1', 'must be the header of a report');
  if (header.entries !== undefined && header.entries !== entries.length)
    throw wrong('1.entries', `tells of ${header.entries} lines, and ${entries.length} followed`);
  return { header, entries, lines: places };
}

/** Refuses what no decision could take: names that the catalogue lacks, amounts that are none, a resource twice. */
export function holdReport({ header, entries, lines }: Report, catalogue: Catalogue): void {
  const faults = new Faults();
  const { userId, resources } = header;
  faults.hold(1, () => resources?.forEach((name) => knownResource(catalogue, name)));
  const looked = resources && new Set(resources.map(({ service, resource }) => `${service}/${resource}`));
  const seen = new Set<string>();
  for (const [n, entry] of entries.entries()) {
    if (faults.isFull) break;
    faults.hold(lines[n] ?? 0, () => {
      if (seen.has(entry.resourceRef)) throw wrong('resourceRef', 'must not come twice in one report');
      seen.add(entry.resourceRef);
      if (userId !== undefined && entry.userId !== userId)
        throw wrong('userId', 'must be the member that the report is about');
      const items = normalItems(entry.items, catalogue);
      if (looked !== undefined && !items.every(({ service, resource }) => looked.has(`${service}/${resource}`)))
        throw wrong('items', 'must be of the resources that the report is about');
    });
  }
  faults.throwIfAny();
}
