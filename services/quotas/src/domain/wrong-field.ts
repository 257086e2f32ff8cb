import type { ErrorCode } from '#libs/contracts';
import { Refusal } from '#libs/eventsourcing';

/** A field of the request's body that no rule can take, whatever the state. */
export function wrongField(field: string, message: string, code: ErrorCode = 'VALIDATION'): Refusal {
  return new Refusal(code, `body.${field} ${message}.`, { errors: [{ location: `body.${field}`, message }] });
}
