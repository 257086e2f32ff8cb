import type { FieldError, Refusal } from '#libs/eventsourcing';
import { errorCodes, type QuotaLimit, type QuotaScope } from '#libs/contracts';

/**
 * google.rpc.Status with its details, written to the wire by hand: six flat messages that never change are not worth a
 * compiler (google/rpc/status.proto, error_details.proto).
 */

const varint = (value: number): Buffer => {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return Buffer.from(bytes);
};

const VARINT = 0;
const LENGTH_DELIMITED = 2;

const integer = (field: number, value: number): Buffer => Buffer.concat([varint(field * 8 + VARINT), varint(value)]);

const bytes = (field: number, value: Buffer): Buffer =>
  Buffer.concat([varint(field * 8 + LENGTH_DELIMITED), varint(value.length), value]);

const text = (field: number, value: string): Buffer => bytes(field, Buffer.from(value, 'utf8'));

const message = (field: number, ...parts: Buffer[]): Buffer => bytes(field, Buffer.concat(parts));

const any = (type: string, ...parts: Buffer[]): Buffer =>
  message(3, text(1, `type.googleapis.com/google.rpc.${type}`), message(2, ...parts));

/**
 * What is told beside the status itself, bytes. Many clients take 8 KiB of metadata with an answer, in which these bytes
 * stand in base64; the detail still says in words what did not fit.
 */
const EXTENSION_BYTES_MAX = 3_072;
/** Of one list, so that a second member has room beside it. */
const LIST_BYTES_MAX = 2_048;

/** The first parts that fit. */
function fitting(parts: readonly Buffer[], bytesMax: number): Buffer[] {
  let left = bytesMax;
  const beyond = parts.findIndex((part) => (left -= part.length) < 0);
  return beyond < 0 ? [...parts] : parts.slice(0, beyond);
}

/** A member of `extensions.violations`, as a denial of the quotas bears it. */
interface QuotaViolation {
  readonly scope: QuotaScope;
  readonly service: string;
  readonly resource: string;
  readonly limit: QuotaLimit;
  readonly used: number;
  readonly reserved: number;
  readonly requested: number;
  readonly available: number;
}

const entry = (field: number, key: string, value: string): Buffer => message(field, text(1, key), text(2, value));

/** A QuotaFailure.Violation: the limit is its quota_value, and quota_dimensions hold the other amounts. */
function quotaViolation({ scope, service, resource, limit, ...amounts }: QuotaViolation): Buffer {
  const { used, reserved, requested, available } = amounts;
  return message(
    1,
    text(1, scope.userId === null ? 'project' : `user:${scope.userId}`),
    text(2, `${requested} asked, ${available} left`),
    text(3, service),
    text(4, resource),
    ...Object.entries({ used, reserved, requested, available }).map(([name, amount]) => entry(6, name, String(amount))),
    ...(typeof limit === 'number' ? [integer(7, limit)] : []),
  );
}

/** The entries of ErrorInfo.metadata for one member: a text as it is, else JSON, and a list cut to what fits. */
function metadata(name: string, value: unknown): Buffer[] {
  if (!Array.isArray(value)) return [entry(3, name, typeof value === 'string' ? value : JSON.stringify(value))];
  const items = value.map((item) => Buffer.from(`,${JSON.stringify(item)}`));
  const kept = fitting(items, LIST_BYTES_MAX);
  const omitted = kept.length === items.length ? [] : [entry(3, `${name}Omitted`, String(items.length - kept.length))];
  return [...omitted, entry(3, name, `[${Buffer.concat(kept).toString().slice(1)}]`)];
}

/** The name of a field in a request message: `request.days` is `days`. */
const fieldOf = ({ location }: FieldError): string => location.replace(/^[^.]*\./, '');

/** The bytes of the trailer `grpc-status-details-bin`. */
export function rpcStatusOf(refusal: Refusal, requestId: string): Buffer {
  const { code, detail, extra } = refusal;
  const { violations, ...others } = extra.extensions ?? {};
  const fields = (extra.errors ?? []).map((error) => message(1, text(1, fieldOf(error)), text(2, error.message)));
  const denied = (Array.isArray(violations) ? (violations as QuotaViolation[]) : []).map(quotaViolation);
  const quotas = fitting(denied, EXTENSION_BYTES_MAX);
  const told = [
    ...(quotas.length === denied.length ? [] : [entry(3, 'violationsOmitted', String(denied.length - quotas.length))]),
    ...Object.entries(others).flatMap(([name, value]) => metadata(name, value)),
  ];
  return Buffer.concat([
    integer(1, errorCodes[code].grpc),
    text(2, detail),
    any('ErrorInfo', text(1, code), text(2, 'steward'), ...fitting(told, EXTENSION_BYTES_MAX)),
    any('RequestInfo', text(1, requestId)),
    ...(fields.length === 0 ? [] : [any('BadRequest', ...fields)]),
    ...(quotas.length === 0 ? [] : [any('QuotaFailure', ...quotas)]),
    ...(extra.retryAfterSeconds === undefined
      ? []
      : [any('RetryInfo', message(1, integer(1, Math.max(1, Math.ceil(extra.retryAfterSeconds)))))]),
  ]);
}
