import { types } from 'node:util';
import { Refusal } from '#libs/eventsourcing';
import { withoutSecrets } from '#libs/platform';

/** sysexits.h: the command line itself was wrong. */
export const EXIT_USAGE = 64;
export const EXIT_FAULT = 1;

/** What a command sees of the process it runs in. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Results; a newline is added. */
  readonly print: (text: string) => void;
  /** Progress and errors, apart from results; as it is. */
  readonly tell: (text: string) => void;
  /** True where a person reads what is printed. */
  readonly isAttended: boolean;
  /** True where `tell` may rewrite its line. */
  readonly rewrites: boolean;
  /** Aborts on Ctrl-C. */
  readonly signal: AbortSignal;
}

const numbers = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

export const count = (value: number): string => numbers.format(value);

export const perSecond = (events: number, durationMs: number): string =>
  `${(durationMs / 1_000).toFixed(1)} s, ${count(durationMs > 0 ? (events * 1_000) / durationMs : 0)} events/s`;

/** Columns of the least width that holds every value, parted by two spaces; the last one is as long as it likes. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, n) => Math.max(title.length, ...rows.map((row) => row[n]?.length ?? 0)));
  return [header, ...rows]
    .map((row) =>
      row
        .map((value, n) => (n === row.length - 1 ? value : value.padEnd(widths[n] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

const REWRITE_MS = 100;
const LINE_MS = 5_000;

/** One line that moves on a terminal; elsewhere a line now and then. */
export class Progress {
  private toldAtMs = performance.now();
  private told = false;

  constructor(private readonly terminal: Pick<Terminal, 'tell' | 'rewrites'>) {}

  readonly update = (text: string): void => {
    const nowMs = performance.now();
    if (nowMs - this.toldAtMs < (this.terminal.rewrites ? REWRITE_MS : LINE_MS)) return;
    this.toldAtMs = nowMs;
    this.told = true;
    this.terminal.tell(this.terminal.rewrites ? `\r\u001b[K${text}` : `${text}\n`);
  };

  /** Before anything else is told. */
  clear(): void {
    if (this.told && this.terminal.rewrites) this.terminal.tell('\r\u001b[K');
    this.told = false;
  }
}

/** What went wrong, in one line without secrets and without a stack. */
export function sentenceOf(error: unknown): string {
  return withoutSecrets(wordsOf(error))
    .replaceAll(/\s*\n\s*/g, ' ')
    .trim();
}

function wordsOf(error: unknown): string {
  if (error instanceof Refusal) return error.detail;
  // The driver's errors come from Node's own realm, which need not be this one.
  if (!types.isNativeError(error)) return 'Something went wrong that is no error.';
  const { code, errors } = error as NodeJS.ErrnoException & { readonly errors?: readonly unknown[] };
  if (code === 'ECONNREFUSED' || code === 'ENOENT' || code === 'ENOTFOUND' || code === 'ETIMEDOUT')
    return `The database cannot be reached (${code}).`;
  if (error.message === '' && errors !== undefined) return wordsOf(errors[0]);
  return error.message === '' ? error.name : error.message;
}
