import type { FieldError, Refusal } from '#libs/eventsourcing';
import { errorCodes } from '#libs/contracts';

/**
 * google.rpc.Status with its details, written to the wire by hand: five flat messages that never change are not worth a
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

/** The name of a field in a request message: `request.days` is `days`. */
const fieldOf = ({ location }: FieldError): string => location.replace(/^[^.]*\./, '');

/** The bytes of the trailer `grpc-status-details-bin`. */
export function rpcStatusOf(refusal: Refusal, requestId: string): Buffer {
  const { code, detail, extra } = refusal;
  const violations = (extra.errors ?? []).map((error) => message(1, text(1, fieldOf(error)), text(2, error.message)));
  return Buffer.concat([
    integer(1, errorCodes[code].grpc),
    text(2, detail),
    any('ErrorInfo', text(1, code), text(2, 'steward')),
    any('RequestInfo', text(1, requestId)),
    ...(violations.length === 0 ? [] : [any('BadRequest', ...violations)]),
    ...(extra.retryAfterSeconds === undefined
      ? []
      : [any('RetryInfo', message(1, integer(1, Math.max(1, Math.ceil(extra.retryAfterSeconds)))))]),
  ]);
}
