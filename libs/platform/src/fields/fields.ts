import type { ApiPropertyOptions } from '@nestjs/swagger';
import { type Fault, field, type FieldOptions, type FieldsClass } from './field-rules.js';
import { printableName, withoutSecrets } from '../requests/secrets-out.js';
import { isStorable, NOT_STORABLE } from './storable-text.js';

/**
 * The fields of requests and answers. One decorator a property is the check, the reading and the OpenAPI schema:
 *
 *     class ExtendKeyBody {
 *       @IntegerField({ min: 1, max: 3650, optional: true, description: 'Days of 86,400,000 ms.' })
 *       days?: number;
 *       @TimeField({ optional: true })
 *       until?: string;
 *     }
 *
 * A property without one is unknown to the reader and refused. Lengths count code points.
 */

export interface TextOptions {
  /** Code points; 1 unless told. */
  readonly min?: number;
  readonly max: number;
  readonly pattern?: RegExp;
  /** What the text must be, in words, where a pattern says too little to a reader. */
  readonly form?: string;
  /** A further rule; the answer ends the sentence that the field's name begins, and must not repeat the value. */
  readonly check?: (text: string) => string | undefined;
}

const ASTRAL = /[\u{10000}-\u{10ffff}]/gu;

const lengthOf = (text: string): number => text.length - (text.match(ASTRAL)?.length ?? 0);

function checkText(value: unknown, { min = 1, max, pattern, form, check }: TextOptions): string | undefined {
  if (typeof value !== 'string') return 'must be a text';
  // A code point is one or two code units, so most texts need no counting.
  if (value.length > 2 * max || value.length < min || lengthOf(value) > max || lengthOf(value) < min)
    return min === max ? `must have ${max} characters` : `must have ${min} to ${max} characters`;
  if (!isStorable(value)) return NOT_STORABLE;
  if (pattern !== undefined && !pattern.test(value)) return `must be ${form ?? `of the form ${pattern.source}`}`;
  return check?.(value);
}

const textSchema = ({ min = 1, max, pattern, form }: TextOptions): ApiPropertyOptions => ({
  type: 'string',
  minLength: min,
  maxLength: max,
  ...(pattern === undefined ? {} : { pattern: pattern.source }),
  ...(form === undefined ? {} : { description: form }),
});

export function TextField(options: TextOptions & FieldOptions): PropertyDecorator {
  return field({ check: (value) => checkText(value, options) }, textSchema(options), options);
}

/** An id of a tenant, project, user or principal. */
export const ID_PATTERN = /^[A-Za-z0-9._-]{1,64}$/;
export const KEY_ID_PATTERN = /^key_[0-9A-Za-z]{16}$/;

/** For texts that are stored in the open: a token that slipped into one would stand in the ledger for ever. */
export const refuseSecret = (text: string): string | undefined =>
  withoutSecrets(text) === text ? undefined : 'must not hold a secret';

export function IdField(options: FieldOptions = {}): PropertyDecorator {
  const form = '1 to 64 of A-Z a-z 0-9 . _ -';
  return TextField({ max: 64, pattern: ID_PATTERN, form, check: refuseSecret, ...options });
}

export function KeyIdField(options: FieldOptions = {}): PropertyDecorator {
  return TextField({ max: 20, pattern: KEY_ID_PATTERN, form: 'key_ and 16 of 0-9 A-Z a-z', ...options });
}

export interface IntegerOptions {
  readonly min: number;
  readonly max: number;
}

const checkInteger = (value: unknown, { min, max }: IntegerOptions): string | undefined =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max
    ? undefined
    : `must be an integer from ${min} to ${max}`;

const integerOf = (text: unknown): unknown =>
  typeof text === 'string' && /^-?\d{1,16}$/.test(text) ? Number(text) : text;

export function IntegerField(options: IntegerOptions & FieldOptions): PropertyDecorator {
  return field(
    { check: (value) => checkInteger(value, options), fromText: integerOf },
    { type: 'integer', minimum: options.min, maximum: options.max },
    options,
  );
}

export function BooleanField(options: FieldOptions = {}): PropertyDecorator {
  return field(
    {
      check: (value) => (typeof value === 'boolean' ? undefined : 'must be true or false'),
      fromText: (text) => (text === 'true' ? true : text === 'false' ? false : text),
    },
    { type: 'boolean' },
    options,
  );
}

export function EnumField(values: readonly string[], options: FieldOptions = {}): PropertyDecorator {
  const message = `must be one of ${values.join(', ')}`;
  return field(
    { check: (value) => (typeof value === 'string' && values.includes(value) ? undefined : message) },
    { type: 'string', enum: [...values] },
    options,
  );
}

interface ListOptions {
  readonly itemsMin?: number;
  readonly itemsMax: number;
}

function checkList(
  value: unknown,
  { itemsMin = 0, itemsMax }: ListOptions,
  checkItem: (item: unknown) => string | undefined,
): Fault | undefined {
  if (!Array.isArray(value)) return 'must be a list';
  if (value.length < itemsMin || value.length > itemsMax) return `must have ${itemsMin} to ${itemsMax} items`;
  for (const [n, item] of value.entries()) {
    const message = checkItem(item);
    if (message !== undefined) return { at: `.${n}`, message };
  }
  return undefined;
}

const listOf = (text: string | readonly string[]): readonly string[] => (typeof text === 'string' ? [text] : text);

/** A list of texts; in a query the parameter is repeated. Duplicates are the reader's own matter. */
export function TextListField(options: TextOptions & ListOptions & FieldOptions): PropertyDecorator {
  return field(
    { check: (value) => checkList(value, options, (item) => checkText(item, options)), fromText: listOf },
    {
      type: 'array',
      items: textSchema(options),
      minItems: options.itemsMin ?? 0,
      maxItems: options.itemsMax,
    } as ApiPropertyOptions,
    options,
  );
}

export function IntegerListField(options: IntegerOptions & ListOptions & FieldOptions): PropertyDecorator {
  return field(
    {
      check: (value) => checkList(value, options, (item) => checkInteger(item, options)),
      fromText: (text) => listOf(text).map(integerOf),
    },
    {
      type: 'array',
      items: { type: 'integer', minimum: options.min, maximum: options.max },
      minItems: options.itemsMin ?? 0,
      maxItems: options.itemsMax,
    },
    options,
  );
}

export interface TextMapOptions {
  readonly keysMax: number;
  readonly key: TextOptions;
  readonly value: TextOptions;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Texts by name, as labels are. The place of an error ends with the name. */
export function TextMapField(options: TextMapOptions & FieldOptions): PropertyDecorator {
  const check = (value: unknown): Fault | undefined => {
    if (!isRecord(value)) return 'must be an object of texts';
    const entries = Object.entries(value);
    if (entries.length > options.keysMax) return `must have at most ${options.keysMax} entries`;
    for (const [key, text] of entries) {
      const keyFault = checkText(key, options.key);
      if (keyFault !== undefined) return { at: '', message: `has a name that ${keyFault}` };
      const valueFault = checkText(text, options.value);
      if (valueFault !== undefined) return { at: `.${printableName(key)}`, message: valueFault };
    }
    return undefined;
  };
  return field(
    { check },
    {
      type: 'object',
      additionalProperties: textSchema(options.value),
      maxProperties: options.keysMax,
    } as ApiPropertyOptions,
    options,
  );
}

const TIME =
  /^(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/i;

/** RFC 3339 to RFC 3339 in UTC, cut to milliseconds; undefined if it is no time between the years 1970 and 9999. */
export function utcTimeOf(text: string): string | undefined {
  const match = TIME.exec(text);
  if (match === null) return undefined;
  const [, year, month, day] = match.map(Number) as [number, number, number, number];
  // JavaScript reads the 30th of February as the 2nd of March.
  if (month < 1 || month > 12 || day < 1 || day > new Date(Date.UTC(year, month, 0)).getUTCDate()) return undefined;
  const ms = Date.parse(text.toUpperCase().replace(/(\.\d{3})\d+/, '$1'));
  return ms >= 0 && ms <= Date.UTC(9999, 11, 31, 23, 59, 59, 999) ? new Date(ms).toISOString() : undefined;
}

/** A time; the handler sees it in UTC with milliseconds, whatever offset it came in. */
export function TimeField(options: FieldOptions = {}): PropertyDecorator {
  return field(
    {
      check: (value) =>
        typeof value === 'string' && utcTimeOf(value) !== undefined ? undefined : 'must be a time as in RFC 3339',
      normalise: (value) => (typeof value === 'string' ? (utcTimeOf(value) ?? value) : value),
    },
    { type: 'string', format: 'date-time' },
    options,
  );
}

/** An object that is a DTO class itself. */
export function ObjectField(type: () => FieldsClass, options: FieldOptions = {}): PropertyDecorator {
  return field(
    {
      check: (value) => (isRecord(value) ? undefined : 'must be an object'),
      nested: type,
    },
    // Swagger knows a lazy type by the name of the function.
    { type: () => type() },
    options,
  );
}

export function ObjectListField(type: () => FieldsClass, options: ListOptions & FieldOptions): PropertyDecorator {
  const check = (value: unknown): Fault | undefined =>
    checkList(value, options, (item) => (isRecord(item) ? undefined : 'must be an object'));
  return field(
    { check, nested: type },
    { type: () => [type()], minItems: options.itemsMin ?? 0, maxItems: options.itemsMax },
    options,
  );
}

export interface JsonOptions {
  /** Of its JSON in UTF-8. */
  readonly sizeBytesMax: number;
  readonly keysMax: number;
}

/** An object of any JSON, as metadata is. */
export function JsonField(options: JsonOptions & FieldOptions): PropertyDecorator {
  const check = (value: unknown): string | undefined => {
    if (!isRecord(value)) return 'must be an object';
    if (Object.keys(value).length > options.keysMax) return `must have at most ${options.keysMax} entries`;
    return Buffer.byteLength(JSON.stringify(value)) > options.sizeBytesMax
      ? `must have at most ${options.sizeBytesMax} bytes as JSON`
      : undefined;
  };
  return field({ check }, { type: 'object', additionalProperties: true, maxProperties: options.keysMax }, options);
}

/** What is one thing or another (`limit`: an integer or "unlimited"), with a check and a schema of its own. */
export function CustomField(
  check: (value: unknown) => Fault | undefined,
  schema: Record<string, unknown>,
  options: FieldOptions = {},
): PropertyDecorator {
  return field({ check }, schema, options);
}
