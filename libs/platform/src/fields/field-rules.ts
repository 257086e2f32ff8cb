import { ValidateBy, ValidateNested } from 'class-validator';
import { ApiProperty, type ApiPropertyOptions } from '@nestjs/swagger';

/** Why a value is refused; `at` leads on from the field to the member that is at fault: `.a`, `.3`. */
export type Fault = string | { readonly at: string; readonly message: string };

export type FieldsClass = new () => object;

/** What one decorated property of a DTO says about itself, beside the class-validator check and the OpenAPI schema. */
export interface FieldRule {
  readonly check: (value: unknown) => Fault | undefined;
  /** The class of the value, or of the members of the list. */
  readonly nested?: () => FieldsClass;
  /** Brings a well-formed value to its one form (a time to UTC); leaves any other to the check. */
  readonly normalise?: (value: unknown) => unknown;
  /** Reads a query's text; leaves what it cannot read to the check. */
  readonly fromText?: (text: string | readonly string[]) => unknown;
}

export interface FieldOptions {
  /** May be absent. */
  readonly optional?: boolean;
  /** May be null. */
  readonly nullable?: boolean;
  readonly description?: string;
  readonly example?: unknown;
}

const rules = new WeakMap<object, Map<string, FieldRule>>();

const fieldsByClass = new WeakMap<FieldsClass, ReadonlyMap<string, FieldRule>>();

/** The fields of a DTO class, those of its ancestors included; the class is complete when it is first asked for. */
export function fieldsOf(type: FieldsClass): ReadonlyMap<string, FieldRule> {
  const known = fieldsByClass.get(type);
  if (known !== undefined) return known;
  const chain: Map<string, FieldRule>[] = [];
  for (
    let prototype = (type.prototype ?? null) as object | null;
    prototype !== null;
    prototype = Object.getPrototypeOf(prototype) as object | null
  )
    chain.unshift(rules.get(prototype) ?? new Map<string, FieldRule>());
  const fields = new Map(chain.flatMap((own) => [...own]));
  fieldsByClass.set(type, fields);
  return fields;
}

const fieldless = new WeakSet<object>();

export const isFieldsClass = (type: unknown): type is FieldsClass =>
  typeof type === 'function' && (fieldless.has(type) || fieldsOf(type as FieldsClass).size > 0);

/** Marks a DTO that has no field at all: `@NoFields() class Nothing {}`. */
export function NoFields(): ClassDecorator {
  return (type) => {
    fieldless.add(type);
  };
}

const FIELD = 'field';

/** The one way in for every decorator of fields.ts: check, schema and reading of one property stand together. */
export function field(rule: FieldRule, schema: ApiPropertyOptions, options: FieldOptions): PropertyDecorator {
  const check = (value: unknown): Fault | undefined => {
    if (value === undefined) return options.optional === true ? undefined : 'is required';
    if (value === null) return options.nullable === true ? undefined : 'must not be null';
    return rule.check(value);
  };
  const complete = { ...rule, check };
  const decorators = [
    ValidateBy({
      name: FIELD,
      validator: {
        validate: (value: unknown) => check(value) === undefined,
        defaultMessage: (args) => messageOf(check(args?.value)),
      },
    }),
    ApiProperty({
      ...schema,
      required: options.optional !== true,
      ...(options.nullable === true ? { nullable: true } : {}),
      ...(options.description === undefined ? {} : { description: options.description }),
      ...(options.example === undefined ? {} : { example: options.example }),
    } as ApiPropertyOptions),
    ...(rule.nested === undefined ? [] : [ValidateNested()]),
  ];
  return (prototype, property) => {
    const own = rules.get(prototype) ?? new Map<string, FieldRule>();
    rules.set(prototype, own.set(String(property), complete));
    for (const decorate of decorators) decorate(prototype, property);
  };
}

const messageOf = (fault: Fault | undefined): string => (typeof fault === 'object' ? fault.message : (fault ?? ''));
