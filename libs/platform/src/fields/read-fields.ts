import { type ValidationError, validateSync } from 'class-validator';
import { type FieldError, Refusal } from '#libs/eventsourcing';
import { type FieldRule, fieldsOf, type FieldsClass } from './field-rules.js';
import { printableName } from '../requests/secrets-out.js';

const ERRORS_MAX = 50;

/**
 * Reads an untrusted value as a DTO class of fields.ts. Refuses with VALIDATION and names every field at fault, unknown
 * ones too, never a value. `place` is `body`, `query`, `path` or (gRPC) `request`; in a query and a path everything is text.
 */
export function readFields<T extends object>(type: new () => T, value: unknown, place: string): T {
  const errors: FieldError[] = [];
  const isText = place === 'query' || place === 'path';
  const made = instantiate(type, value, place, isText, errors);
  if (errors.length === 0 && made instanceof type) {
    // class-validator tells the faults; that there are none is told by its own checks for a tenth of the cost.
    if (isSound(type, made)) return made;
    for (const error of validateSync(made, { forbidUnknownValues: false })) collect(error, place, errors);
  }
  if (errors.length > 0 || !(made instanceof type)) throw validationRefusal(errors);
  return made;
}

/** True if every check holds that class-validator would ask of the object. */
function isSound(type: FieldsClass, made: object): boolean {
  for (const [name, { check, nested }] of fieldsOf(type)) {
    const value: unknown = Reflect.get(made, name);
    if (check(value) !== undefined) return false;
    if (nested === undefined || typeof value !== 'object' || value === null) continue;
    const members: readonly unknown[] = Array.isArray(value) ? value : [value];
    if (!members.every((member) => isRecord(member) && isSound(nested(), member))) return false;
  }
  return true;
}

export function validationRefusal(errors: readonly FieldError[]): Refusal {
  const [first] = errors;
  const detail = first === undefined ? 'The request is wrong.' : `${first.location} ${first.message}.`;
  return new Refusal('VALIDATION', detail, { errors: errors.slice(0, ERRORS_MAX) });
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function instantiate(
  type: FieldsClass,
  value: unknown,
  location: string,
  isText: boolean,
  errors: FieldError[],
): unknown {
  if (!isRecord(value)) {
    // A nested value of a wrong type is told by its own field's check.
    if (!location.includes('.')) errors.push({ location, message: 'must be a JSON object' });
    return value;
  }
  const fields = fieldsOf(type);
  const made: object = new type();
  for (const [name, given] of Object.entries(value)) {
    const rule = fields.get(name);
    if (rule === undefined)
      errors.push({ location: `${location}.${printableName(name)}`, message: 'is not a known field' });
    else Reflect.set(made, name, readField(rule, given, `${location}.${name}`, isText, errors));
  }
  return made;
}

function readField(rule: FieldRule, given: unknown, location: string, isText: boolean, errors: FieldError[]): unknown {
  const value = isText && rule.fromText !== undefined ? rule.fromText(given as string | string[]) : given;
  const { nested } = rule;
  if (nested === undefined) return rule.normalise === undefined ? value : rule.normalise(value);
  if (Array.isArray(value))
    return value.map((member, n) => instantiate(nested(), member, `${location}.${n}`, false, errors));
  return instantiate(nested(), value, location, false, errors);
}

function collect(error: ValidationError, location: string, errors: FieldError[]): void {
  const at = `${location}.${printableName(error.property)}`;
  const fault = ruleOf(error)?.check(error.value);
  if (fault !== undefined)
    errors.push(
      typeof fault === 'string'
        ? { location: at, message: fault }
        : { location: `${at}${fault.at}`, message: fault.message },
    );
  for (const child of error.children ?? []) collect(child, at, errors);
}

const ruleOf = (error: ValidationError): FieldRule | undefined =>
  error.target === undefined ? undefined : fieldsOf(error.target.constructor as FieldsClass).get(error.property);
